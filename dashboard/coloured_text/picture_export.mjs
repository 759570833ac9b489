// The picture to keep.

import { running } from "./characters.mjs";
import { context2d } from "./elements.mjs";

/** @typedef {import("./colours.mjs").Colour} Colour */
/** @typedef {import("./message.mjs").Picture} Picture */
/** @typedef {import("./message.mjs").Span} Span */
/** @typedef {import("./pane.mjs").Pane} Pane */
/** @typedef {import("./view.mjs").Style} Style */
/** What is drawn, as it is on the screen.
 * @typedef {{pane: Pane, picture: Picture, palette: Colour[], style: Style, selection: Span | null}} Shown */

const PICTURE_SIDE = 16000; // browsers refuse canvases with longer sides
/** @type {CanvasTextAlign[]} */
const ALIGNMENTS = ["left", "center", "right"]; // of the labels of a scale

/**
 * Download title, legend and text, laid out as on the screen, as a PNG file.
 * @param {Shown} shown
 */
export function savePicture(shown) {
  const margin = 24;
  const { pane, picture, style } = shown;
  pane.node.classList.add("whole");
  const canvas = document.createElement("canvas");
  const context = context2d(canvas);
  const width = Math.max(420, pane.node.clientWidth) + 2 * margin;
  context.font = `600 20px ${style.font}`;
  const titleLines = wrap(context, picture.title, width - 2 * margin);
  const textTop = margin + titleLines.length * 26 + 48;
  const wanted = textTop + pane.node.scrollHeight + margin;
  const height = Math.min(wanted, PICTURE_SIDE);
  const scale = Math.min(2, PICTURE_SIDE / height);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context.scale(scale, scale);
  context.fillStyle = style.paper;
  context.fillRect(0, 0, width, height);
  drawHead(context, shown, titleLines, margin);
  drawText(context, shown, margin, textTop, height - (wanted > height ? 40 : 0));
  pane.node.classList.remove("whole");
  if (wanted > height) {
    context.font = `14px ${style.font}`;
    context.fillStyle = style.paperInk;
    context.fillText("The text goes on: a picture can be no longer than this.", margin, height - 16);
  }
  canvas.toBlob((blob) => blob && download(blob, `${fileName(picture.title)}.png`), "image/png");
}

/**
 * Break a text between words; a word that is wider stands alone.
 * @param {{measureText(text: string): {width: number}}} context
 * @param {string} text
 * @param {number} width
 */
export function wrap(context, text, width) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines[lines.length - 1];
    const longer = `${last} ${word}`.trim();
    if (context.measureText(longer).width <= width || !last) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Shown} shown
 * @param {string[]} titleLines
 * @param {number} margin
 */
function drawHead(context, { palette, picture, style }, titleLines, margin) {
  context.fillStyle = style.paperInk;
  context.textBaseline = "alphabetic";
  context.font = `600 20px ${style.font}`;
  titleLines.forEach((line, i) => context.fillText(line, margin, margin + 18 + i * 26));
  const top = margin + titleLines.length * 26 + 8;
  context.font = `14px ${style.font}`;
  context.fillText(picture.scale.quantity, margin, top + 12);
  const left = margin + context.measureText(picture.scale.quantity).width + 20;
  const step = 220 / palette.length;
  palette.forEach(({ background }, i) => {
    context.fillStyle = background;
    context.fillRect(left + i * step, top, step + 0.5, 14);
  });
  context.fillStyle = style.paperInk;
  context.font = `12px ${style.font}`;
  picture.scale.labels.forEach((label, i) => {
    context.textAlign = ALIGNMENTS[i];
    context.fillText(label, left + i * 110, top + 30);
  });
  context.textAlign = "left";
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Shown} shown
 * @param {number} margin
 * @param {number} top
 * @param {number} bottom
 */
function drawText(context, { palette, pane, picture, selection, style }, margin, top, bottom) {
  const frame = pane.node.getBoundingClientRect();
  const indent = parseFloat(getComputedStyle(/** @type {Element} */ (pane.node.firstChild)).paddingLeft);
  context.font = `${getComputedStyle(pane.node).fontSize} ${style.monospace}`;
  context.textBaseline = "middle";
  context.direction = "ltr";
  for (let i = 0; i < pane.spans.length; i++) {
    const box = pane.box(i);
    const x = box.left - frame.left - indent + margin;
    const y = box.top - frame.top + pane.node.scrollTop + top;
    if (y + box.height > bottom) break;
    const colour = palette[pane.colours[i]];
    if (colour) {
      context.fillStyle = colour.background;
      context.fillRect(x, y, box.width + 0.3, box.height);
    }
    context.fillStyle = colour?.ink ?? style.paperInk;
    const glyph = running(picture.codePoints[i], picture.showWhitespace).replace(/[\n\t\u200b]/g, "");
    context.fillText(glyph, x, y + box.height / 2);
    if (selection && i >= selection.start && i < selection.end) {
      context.fillStyle = style.chosen;
      context.fillRect(x, y, box.width, 2);
      context.fillRect(x, y + box.height - 2, box.width, 2);
    }
  }
}

/** @param {string} title */
export function fileName(title) {
  const words = title.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["coloured", "text"];
  return words.join("-").slice(0, 80);
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
