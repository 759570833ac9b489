// One line of characters for every row (layer), under the text.

import { count, visible } from "./characters.mjs";
import { colourIndex } from "./colours.mjs";
import { add, context2d, NEARLY } from "./elements.mjs";

/** @typedef {import("./message.mjs").Picture} Picture */
/** @typedef {import("./message.mjs").Span} Span */
/** @typedef {import("./colours.mjs").Colour} Colour */
/** @typedef {import("./view.mjs").Style} Style */

const CELL_WIDTH = 18; // of a character, in pixels
const ROW_HEIGHT = 24;
const AXIS_HEIGHT = 18;

/** One line of fixed boxes for every row, the last row on top; only what is seen is drawn. */
export class Strips {
  /** @type {Picture | undefined} */
  picture;
  /** @type {Colour[]} */
  palette = [];
  /** @type {Style | undefined} */
  style;
  /** @type {number | null} */
  pointed = null;
  /** @type {Span | null} */
  selection = null;
  /** @type {Span | null} */
  place = null;
  size = 0; // characters
  height = 0; // pixels

  /** @param {Element} parent */
  constructor(parent) {
    this.node = add(parent, "div", "strips");
    this.caption = add(this.node, "div", "caption");
    const frame = add(this.node, "div", "frame");
    this.labels = add(frame, "div", "labels");
    this.scroller = add(frame, "div", "scroller");
    // The keyboard scrolls only what it can reach.
    this.scroller.tabIndex = 0;
    this.scroller.setAttribute("role", "group");
    this.spacer = add(this.scroller, "div", "spacer");
    this.canvas = add(this.spacer, "canvas");
    this.canvas.setAttribute("role", "img");
    this.scroller.addEventListener("scroll", () => this.draw());
  }

  /**
   * @param {Picture} picture
   * @param {Colour[]} palette
   * @param {Style} style
   */
  update(picture, palette, style) {
    this.picture = picture;
    this.palette = palette;
    this.style = style;
    const rows = picture.rows.length;
    this.node.hidden = rows < 2;
    this.caption.textContent = `${picture.strips}, around the character pointed at`;
    this.scroller.setAttribute("aria-label", picture.strips);
    this.size = picture.codePoints.length;
    this.height = AXIS_HEIGHT + rows * ROW_HEIGHT;
    this.spacer.style.width = `${this.size * CELL_WIDTH}px`;
    this.spacer.style.height = `${this.height}px`;
    this.labels.replaceChildren();
    this.labels.style.paddingTop = `${AXIS_HEIGHT}px`;
    for (let row = rows - 1; row >= 0; row--) {
      const label = add(this.labels, "div", row === picture.chosenRow ? "chosen" : "", picture.rows[row]);
      label.style.lineHeight = `${ROW_HEIGHT}px`;
    }
    const name = `${picture.scale.quantity}, one line of characters for each of ${rows} layers`;
    this.canvas.setAttribute("aria-label", name);
    this.draw();
  }

  isAtEnd() {
    return this.scroller.scrollLeft + this.scroller.clientWidth >= this.scroller.scrollWidth - NEARLY;
  }

  toEnd() {
    this.scroller.scrollLeft = this.scroller.scrollWidth;
    this.draw();
  }

  toStart() {
    this.scroller.scrollLeft = 0;
    this.draw();
  }

  /**
   * Bring a character to the middle.
   * @param {number} position
   */
  centre(position) {
    this.scroller.scrollLeft = (position + 0.5) * CELL_WIDTH - this.scroller.clientWidth / 2;
    this.draw();
  }

  /**
   * @param {number | null} pointed
   * @param {Span | null} selection
   * @param {Span | null} place
   */
  mark(pointed, selection, place) {
    this.pointed = pointed;
    this.selection = selection;
    this.place = place;
    this.draw();
  }

  /**
   * Position and row under the pointer, or null.
   * @param {MouseEvent} event
   */
  at(event) {
    if (!this.picture) return null;
    const frame = this.canvas.getBoundingClientRect();
    const position = Math.floor((event.clientX - frame.left + this.scroller.scrollLeft) / CELL_WIDTH);
    const line = Math.floor((event.clientY - frame.top - AXIS_HEIGHT) / ROW_HEIGHT);
    const row = this.picture.rows.length - 1 - line;
    const inside = position >= 0 && position < this.size && row >= 0 && line >= 0;
    return inside ? { position, row } : null;
  }

  /**
   * @param {number} position
   * @param {number} row
   */
  box(position, row) {
    const frame = this.canvas.getBoundingClientRect();
    const line = (this.picture?.rows.length ?? 0) - 1 - row;
    const left = frame.left + position * CELL_WIDTH - this.scroller.scrollLeft;
    return new DOMRect(left, frame.top + AXIS_HEIGHT + line * ROW_HEIGHT, CELL_WIDTH, ROW_HEIGHT);
  }

  draw() {
    const width = this.scroller.clientWidth;
    const { picture, style } = this;
    if (!picture || !style || !width) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${this.height}px`;
    const context = context2d(this.canvas);
    context.scale(ratio, ratio);
    context.translate(-this.scroller.scrollLeft, 0);
    context.direction = "ltr";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const first = Math.max(0, Math.floor(this.scroller.scrollLeft / CELL_WIDTH));
    const end = Math.min(this.size, first + Math.ceil(width / CELL_WIDTH) + 1);
    context.fillStyle = style.paper;
    context.fillRect(first * CELL_WIDTH, AXIS_HEIGHT, (end - first) * CELL_WIDTH, this.height - AXIS_HEIGHT);
    this.drawAxis(context, style, first, end);
    for (let row = 0; row < picture.rows.length; row++) {
      this.drawRow(context, picture, style, row, first, end);
    }
    this.drawMarks(context, picture, style, first, end);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Style} style
   * @param {number} first
   * @param {number} end
   */
  drawAxis(context, style, first, end) {
    context.font = `11px ${style.font}`;
    context.fillStyle = style.ink;
    context.globalAlpha = 0.65;
    for (let number = Math.ceil((first + 1) / 10) * 10; number <= end; number += 10) {
      context.fillText(count(number), (number - 0.5) * CELL_WIDTH, AXIS_HEIGHT / 2);
    }
    context.globalAlpha = 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Picture} picture
   * @param {Style} style
   * @param {number} row
   * @param {number} first
   * @param {number} end
   */
  drawRow(context, picture, style, row, first, end) {
    const { values, codePoints, scale } = picture;
    const top = AXIS_HEIGHT + (picture.rows.length - 1 - row) * ROW_HEIGHT;
    context.font = `13px ${style.monospace}`;
    for (let i = first; i < end; i++) {
      const colour = colourIndex(values[row * this.size + i], scale.stops, scale.colours.length);
      if (colour >= 0) {
        context.fillStyle = this.palette[colour].background;
        context.fillRect(i * CELL_WIDTH, top + 1, CELL_WIDTH - 1, ROW_HEIGHT - 2);
      }
      context.fillStyle = colour >= 0 ? this.palette[colour].ink : style.paperInk;
      context.globalAlpha = codePoints[i] <= 0x20 ? 0.55 : 1;
      context.fillText(visible(codePoints[i]), (i + 0.5) * CELL_WIDTH - 0.5, top + ROW_HEIGHT / 2 + 1);
      context.globalAlpha = 1;
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Picture} picture
   * @param {Style} style
   * @param {number} first
   * @param {number} end
   */
  drawMarks(context, picture, style, first, end) {
    const rows = picture.rows.length;
    const chosenTop = AXIS_HEIGHT + (rows - 1 - picture.chosenRow) * ROW_HEIGHT;
    /** @type {(span: Span, top: number, lines: number, colour: string) => void} */
    const mark = ({ start, end: stop }, top, lines, colour) => {
      const left = start * CELL_WIDTH - 1;
      outline(context, left, top, (stop - start) * CELL_WIDTH + 1, lines * ROW_HEIGHT, colour);
    };
    /** @type {(span: Span, colour: string) => void} */
    const column = (span, colour) => mark(span, AXIS_HEIGHT, rows, colour);
    mark({ start: first - 1, end: end + 1 }, chosenTop, 1, "#000000"); // its ends lie out of sight
    if (this.selection) column(this.selection, style.chosen);
    if (this.place) column(this.place, style.place);
    if (this.pointed !== null) column({ start: this.pointed, end: this.pointed + 1 }, "#000000");
  }
}

/**
 * A line inside the edge of a box, with a white one within, so that it is seen on any colour.
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @param {string} colour
 */
function outline(context, left, top, width, height, colour) {
  /** @type {[inset: number, line: number, stroke: string][]} */
  const lines = [[2.5, 1, "#ffffff"], [1, 2, colour]];
  for (const [inset, line, stroke] of lines) {
    context.lineWidth = line;
    context.strokeStyle = stroke;
    context.strokeRect(left + inset, top + inset, width - 2 * inset, height - 2 * inset);
  }
}
