// A text whose every character stands on the colour of its value, and under it one strip of
// characters for every row (layer). Text of the user reaches the page as text nodes and canvas
// text only. Positions count characters (code points) from 0, as in the arrays; where they are
// shown, they count from 1, as everywhere on the pages.

const CELL_WIDTH = 18; // of a character in the strips, in pixels
const ROW_HEIGHT = 24;
const AXIS_HEIGHT = 18;
const KEYBOARD_PAUSE = 250; // milliseconds without a key before a selection is reported
const BLOCK = 1500; // characters that are laid out together, at least
const NEARLY = 2; // pixels from its end at which a scrolled text counts as at its end
const PICTURE_SIDE = 16000; // browsers refuse canvases with longer sides
const FLASH = { duration: 450, iterations: 3 }; // of a place that is shown, in milliseconds

const views = new WeakMap();

/** Streamlit calls this at first and again whenever the data or the theme change. */
export default function ({ data, parentElement, setStateValue }) {
  if (!views.has(parentElement)) views.set(parentElement, new View(parentElement));
  const view = views.get(parentElement);
  view.report = (selection) => setStateValue("selection", selection);
  view.update(unpack(data));
  return () => {
    view.remove();
    views.delete(parentElement);
  };
}

/** The message of `_pack` in Python: header length, header, arrays. */
function unpack(bytes) {
  const buffer = bytes.slice().buffer; // a copy of its own, so that typed arrays are aligned
  const length = new DataView(buffer).getUint32(0, true);
  const picture = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const kinds = { uint8: Uint8Array, uint32: Uint32Array, float32: Float32Array };
  for (const [name, kind, offset, size] of picture.arrays) {
    picture[name] = new kinds[kind](buffer, 4 + length + offset, size);
  }
  return picture;
}

// ---------------------------------------------------------------- characters and numbers

/** A character as something that can be seen, whatever it is; never empty. */
function visible(code) {
  if (code === 0x0a) return "⏎";
  if (code === 0x09) return "→";
  if (code === 0x20) return "·";
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (code >= 0xd800 && code <= 0xdfff) return "▯";
  const character = String.fromCodePoint(code);
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(character)) return "▯";
  return /\p{M}/u.test(character) ? "◌" + character : character;
}

/** A character as it stands in running text, where white space does its work. */
function running(code, showWhitespace) {
  if (code === 0x0a) return (showWhitespace ? "⏎" : " ") + "\n";
  if (code === 0x09) return (showWhitespace ? "→" : "") + "\t";
  if (code === 0x20) return showWhitespace ? "·\u200b" : " "; // a line may break after the dot
  return visible(code);
}

function codePointLabel(code) {
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

function byteLabel(byte) {
  if (byte === 0x20) return "space";
  if (byte === 0x0a) return "⏎";
  if (byte > 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return "0x" + byte.toString(16).toUpperCase().padStart(2, "0");
}

function decimals(value, digits) {
  return Number.isNaN(value) ? "no value" : value.toFixed(digits).replace("-", "−");
}

function count(value) {
  return value.toLocaleString("en");
}

// ---------------------------------------------------------------- colours

const colourReader = document.createElement("canvas").getContext("2d");

/** Red, green, blue (0 to 255) and opacity (0 to 1) of any CSS colour. */
function parseColour(css) {
  colourReader.fillStyle = css;
  const plain = colourReader.fillStyle; // "#rrggbb", or "rgba(…)" where it is translucent
  if (plain.startsWith("#")) return [...plain.match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16)), 1];
  return plain.match(/[\d.]+/g).map(Number);
}

function luminance([red, green, blue]) {
  const linear = [red, green, blue].map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

/** Each colour laid over the paper, with the ink, black or white, that reads better on it. */
function readPalette(colours, paper) {
  const under = parseColour(paper);
  return colours.map((css) => {
    const [red, green, blue, opacity] = parseColour(css);
    const over = (part, i) => Math.round(part * opacity + under[i] * (1 - opacity));
    const mixed = [red, green, blue].map(over);
    const ink = luminance(mixed) > 0.18 ? "#000000" : "#ffffff";
    return { background: `rgb(${mixed.join(", ")})`, ink };
  });
}

/** The index in the palette of a value, or -1 for no value. */
function colourIndex(value, [low, middle, high], colours) {
  if (Number.isNaN(value)) return -1;
  const lower = value < middle;
  const share = lower ? (value - low) / (middle - low) / 2 : 0.5 + (value - middle) / (high - middle) / 2;
  return Math.round(Math.min(1, Math.max(0, share)) * (colours - 1));
}

// ---------------------------------------------------------------- pieces of the page

function add(parent, tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

/** Whether a text begins with all characters of the one before, shown in the same way. */
function continues(picture, before) {
  if (!before?.codePoints.length || before.showWhitespace !== picture.showWhitespace) return false;
  return before.codePoints.every((code, i) => code === picture.codePoints[i]);
}

/** The running text: one span a character, made once, then only recoloured. */
class Pane {
  constructor(parent) {
    this.node = add(parent, "div", "text");
    for (const [name, value] of Object.entries({
      tabindex: "0", role: "textbox", "aria-readonly": "true", "aria-multiline": "true",
    })) this.node.setAttribute(name, value);
    this.clear();
  }

  clear() {
    this.node.replaceChildren();
    add(this.node, "div", "block");
    this.spans = [];
    this.colours = new Int16Array(0);
  }

  /** Add what a text has more than is shown of it. */
  grow(codePoints, showWhitespace) {
    const shown = this.spans.length;
    if (shown === codePoints.length) return;
    const { fontSize } = getComputedStyle(this.node);
    const width = this.node.clientWidth;
    const blocks = [this.node.lastChild];
    for (let i = shown; i < codePoints.length; i++) {
      const full = codePoints[i - 1] === 0x0a && blocks.at(-1).childNodes.length >= BLOCK;
      if (full) blocks.push(add(this.node, "div", "block"));
      this.spans.push(this.addCharacter(blocks.at(-1), codePoints[i], i, showWhitespace));
    }
    for (const block of blocks) {
      const height = expectedHeight(block, parseFloat(fontSize), width);
      block.style.containIntrinsicSize = `auto ${height}px`;
    }
    const colours = new Int16Array(codePoints.length).fill(-2);
    colours.set(this.colours);
    this.colours = colours;
  }

  addCharacter(block, code, position, showWhitespace) {
    const span = add(block, "span", "", running(code, showWhitespace));
    // Where the writing direction or joined glyphs could move a character, it stands alone.
    if (code > 0x7e) span.dataset.alone = "";
    span.position = position;
    return span;
  }

  isAtEnd() {
    return this.node.scrollTop + this.node.clientHeight >= this.node.scrollHeight - NEARLY;
  }

  toEnd() {
    this.node.scrollTop = this.node.scrollHeight;
  }

  toStart() {
    this.node.scrollTop = 0;
  }

  recolour(picture) {
    const { values, chosenRow, scale, skipped } = picture;
    const size = this.spans.length;
    for (let i = 0; i < size; i++) {
      if (skipped) this.spans[i].toggleAttribute("data-skipped", skipped[i] === 1);
      const colour = colourIndex(values[chosenRow * size + i], scale.stops, scale.colours.length);
      if (colour === this.colours[i]) continue;
      this.colours[i] = colour;
      this.spans[i].className = colour < 0 ? "none" : "c" + colour;
    }
  }

  /** Outline the characters of a range, as "chosen" or "place", and those of `before` no more. */
  outline(mark, range, before) {
    if (before) {
      for (const span of this.spans.slice(before.start, before.end)) delete span.dataset[mark];
    }
    if (!range) return;
    for (let i = range.start; i < range.end; i++) {
      const edges = [i === range.start ? "first" : "", i === range.end - 1 ? "last" : ""];
      this.spans[i].dataset[mark] = edges.join(" ").trim();
    }
  }

  flash({ start, end }) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const lit = { background: "#ffdd33", color: "#000000" };
    for (const span of this.spans.slice(start, end)) span.animate([lit, lit, {}], FLASH);
  }

  point(position) {
    if (this.pointed) delete this.pointed.dataset.pointed;
    this.pointed = this.spans[position];
    if (this.pointed) this.pointed.dataset.pointed = "";
  }

  box(position) {
    return this.spans[position].getClientRects()[0] ?? this.spans[position].getBoundingClientRect();
  }

  /** Scroll the pane, never the page, until a character can be seen. */
  reveal(position) {
    const box = this.box(position);
    const frame = this.node.getBoundingClientRect();
    if (box.top < frame.top) this.node.scrollTop -= frame.top - box.top + 8;
    else if (box.bottom > frame.bottom) this.node.scrollTop += box.bottom - frame.bottom + 8;
  }

  /** Scroll the pane until a range begins in its middle, or above where it would not fit. */
  centre({ start, end }) {
    const top = this.box(start).top;
    const height = this.box(end - 1).bottom - top;
    const room = Math.max(24, (this.node.clientHeight - height) / 2);
    this.node.scrollTop += top - this.node.getBoundingClientRect().top - room;
  }

  /** The character one line up (-1) or down (1), as straight above or below as there is. */
  neighbour(position, direction) {
    const from = this.box(position);
    let best = position;
    let bestDistance = Infinity;
    let line = null;
    for (let i = position + direction; i >= 0 && i < this.spans.length; i += direction) {
      const box = this.box(i);
      if (Math.abs(box.top - from.top) < from.height / 2) continue;
      line ??= box.top;
      if (Math.abs(box.top - line) > from.height / 2) break;
      if (Math.abs(box.left - from.left) < bestDistance) {
        bestDistance = Math.abs(box.left - from.left);
        best = i;
      }
    }
    return best;
  }
}

/** A guess at the height of a block in pixels, while the browser has not laid it out. */
function expectedHeight(block, fontSize, width) {
  const columns = Math.max(10, width / (0.6 * fontSize));
  const lines = block.textContent.split("\n");
  const rows = lines.reduce((sum, line) => sum + Math.ceil(line.length / columns), 0);
  return Math.round(1.65 * fontSize * rows);
}

/** One line of fixed boxes for every row, the last row on top; only what is seen is drawn. */
class Strips {
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

  update(picture, palette, style) {
    Object.assign(this, { picture, palette, style });
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

  /** Bring a character to the middle. */
  centre(position) {
    this.scroller.scrollLeft = (position + 0.5) * CELL_WIDTH - this.scroller.clientWidth / 2;
    this.draw();
  }

  mark(pointed, selection, place) {
    Object.assign(this, { pointed, selection, place });
    this.draw();
  }

  /** Position and row under the pointer, or null. */
  at(event) {
    const frame = this.canvas.getBoundingClientRect();
    const position = Math.floor((event.clientX - frame.left + this.scroller.scrollLeft) / CELL_WIDTH);
    const line = Math.floor((event.clientY - frame.top - AXIS_HEIGHT) / ROW_HEIGHT);
    const row = this.picture.rows.length - 1 - line;
    const inside = position >= 0 && position < this.size && row >= 0 && line >= 0;
    return inside ? { position, row } : null;
  }

  box(position, row) {
    const frame = this.canvas.getBoundingClientRect();
    const line = this.picture.rows.length - 1 - row;
    const left = frame.left + position * CELL_WIDTH - this.scroller.scrollLeft;
    return new DOMRect(left, frame.top + AXIS_HEIGHT + line * ROW_HEIGHT, CELL_WIDTH, ROW_HEIGHT);
  }

  draw() {
    const width = this.scroller.clientWidth;
    if (!this.picture || !width) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${this.height}px`;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.translate(-this.scroller.scrollLeft, 0);
    context.direction = "ltr";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const first = Math.max(0, Math.floor(this.scroller.scrollLeft / CELL_WIDTH));
    const end = Math.min(this.size, first + Math.ceil(width / CELL_WIDTH) + 1);
    context.fillStyle = this.style.paper;
    context.fillRect(first * CELL_WIDTH, AXIS_HEIGHT, (end - first) * CELL_WIDTH, this.height - AXIS_HEIGHT);
    this.drawAxis(context, first, end);
    for (let row = 0; row < this.picture.rows.length; row++) this.drawRow(context, row, first, end);
    this.drawMarks(context, first, end);
  }

  drawAxis(context, first, end) {
    context.font = `11px ${this.style.font}`;
    context.fillStyle = this.style.ink;
    context.globalAlpha = 0.65;
    for (let number = Math.ceil((first + 1) / 10) * 10; number <= end; number += 10) {
      context.fillText(count(number), (number - 0.5) * CELL_WIDTH, AXIS_HEIGHT / 2);
    }
    context.globalAlpha = 1;
  }

  drawRow(context, row, first, end) {
    const { values, codePoints, scale } = this.picture;
    const top = AXIS_HEIGHT + (this.picture.rows.length - 1 - row) * ROW_HEIGHT;
    context.font = `13px ${this.style.monospace}`;
    for (let i = first; i < end; i++) {
      const colour = colourIndex(values[row * this.size + i], scale.stops, scale.colours.length);
      if (colour >= 0) {
        context.fillStyle = this.palette[colour].background;
        context.fillRect(i * CELL_WIDTH, top + 1, CELL_WIDTH - 1, ROW_HEIGHT - 2);
      }
      context.fillStyle = colour >= 0 ? this.palette[colour].ink : this.style.paperInk;
      context.globalAlpha = codePoints[i] <= 0x20 ? 0.55 : 1;
      context.fillText(visible(codePoints[i]), (i + 0.5) * CELL_WIDTH - 0.5, top + ROW_HEIGHT / 2 + 1);
      context.globalAlpha = 1;
    }
  }

  drawMarks(context, first, end) {
    const rows = this.picture.rows.length;
    const chosenTop = AXIS_HEIGHT + (rows - 1 - this.picture.chosenRow) * ROW_HEIGHT;
    const mark = (start, stop, top, lines, colour) => {
      const left = start * CELL_WIDTH - 1;
      outline(context, left, top, (stop - start) * CELL_WIDTH + 1, lines * ROW_HEIGHT, colour);
    };
    const column = (start, stop, colour) => mark(start, stop, AXIS_HEIGHT, rows, colour);
    mark(first - 1, end + 1, chosenTop, 1, "#000000"); // its ends lie out of sight
    if (this.selection) column(this.selection.start, this.selection.end, this.style.chosen);
    if (this.place) column(this.place.start, this.place.end, this.style.place);
    if (Number.isInteger(this.pointed)) column(this.pointed, this.pointed + 1, "#000000");
  }
}

/** A line inside the edge of a box, with a white one within, so that it is seen on any colour. */
function outline(context, left, top, width, height, colour) {
  for (const [inset, line, stroke] of [[2.5, 1, "#ffffff"], [1, 2, colour]]) {
    context.lineWidth = line;
    context.strokeStyle = stroke;
    context.strokeRect(left + inset, top + inset, width - 2 * inset, height - 2 * inset);
  }
}

/** What is known of one character, beside it and inside the component. */
class Tooltip {
  constructor(parent) {
    this.parent = parent;
    this.node = add(parent, "div", "tooltip");
    this.node.setAttribute("role", "tooltip");
    this.hide();
  }

  hide() {
    this.node.hidden = true;
  }

  show(picture, position, row, box) {
    this.node.replaceChildren();
    const code = picture.codePoints[position];
    const head = add(this.node, "div", "head");
    add(head, "span", "glyph", visible(code));
    const name = add(head, "span", "name", `${codePointLabel(code)} ${picture.names[code]}`);
    add(name, "span", "where", `character ${count(position + 1)}`);
    const facts = add(this.node, "dl");
    add(facts, "dt", "", `${picture.scale.quantity}, ${picture.rows[row]}`);
    add(facts, "dd", "value", decimals(picture.values[row * picture.codePoints.length + position], 3));
    if (picture.skipped?.[position]) add(facts, "dt", "skipped", "unknown to the model: skipped");
    if (picture.losses) {
      const loss = picture.losses[position];
      add(facts, "dt", "", "loss on this character");
      add(facts, "dd", "loss", Number.isNaN(loss) ? "no value" : `${decimals(loss, 2)} bits`);
    }
    if (picture.nextTokens) this.addGuesses(picture, position);
    this.node.hidden = false;
    this.place(box);
  }

  addGuesses(picture, position) {
    const guesses = picture.nextTokens.length / picture.codePoints.length;
    add(this.node, "div", "guess-title", "likeliest next");
    const list = add(this.node, "div", "guesses");
    for (let i = position * guesses; i < (position + 1) * guesses; i++) {
      const probability = picture.probabilities[i];
      const token = picture.nextTokens[i];
      add(list, "span", "byte", picture.tokens ? picture.tokens[token] : byteLabel(token));
      add(add(list, "span", "bar"), "span").style.width = `${100 * Math.min(1, Math.max(0, probability))}%`;
      add(list, "span", "share", `${(100 * probability).toFixed(1)} %`);
    }
  }

  /** Under the character, or over it where there is no room below; never out of the component. */
  place(box) {
    const frame = this.parent.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.node;
    const left = Math.min(Math.max(0, box.left + box.width / 2 - frame.left - width / 2), frame.width - width);
    const below = box.bottom + 8;
    const above = box.top - 8 - height;
    const fits = below + height <= Math.min(frame.bottom, window.innerHeight);
    this.node.style.left = `${Math.max(0, left)}px`;
    this.node.style.top = `${(fits || above < 0 ? below : above) - frame.top}px`;
  }
}

// ---------------------------------------------------------------- the whole

/** The colours of a legend; where they are few, each as a block of its own. */
function legendStops(palette) {
  if (palette.length > 8) return palette.map((c) => c.background).join(",");
  const share = 100 / palette.length;
  return palette.map((c, i) => `${c.background} ${i * share}% ${(i + 1) * share}%`).join(",");
}

class View {
  constructor(parent) {
    this.root = add(parent, "div", "coloured-text");
    this.paletteRules = add(this.root, "style");
    const head = add(this.root, "div", "title-line");
    this.title = add(head, "div", "title");
    this.save = add(head, "button", "save", "Save as picture");
    this.save.type = "button";
    this.save.title = "Download the coloured text with its legend as a PNG file";
    this.save.addEventListener("click", () => savePicture(this));
    this.legend = add(this.root, "div", "legend");
    this.pane = new Pane(this.root);
    this.status = add(this.root, "div", "status");
    this.status.setAttribute("aria-live", "polite");
    this.strips = new Strips(this.root);
    this.tooltip = new Tooltip(this.root);
    this.selection = null;
    this.listenToPointer();
    this.listenToKeys();
    this.resizing = new ResizeObserver(() => this.strips.draw());
    this.resizing.observe(this.root);
  }

  remove() {
    this.resizing.disconnect();
    clearTimeout(this.waiting);
    this.root.remove();
  }

  update(picture) {
    const before = this.picture;
    const grows = continues(picture, before);
    const same = before?.text === picture.text;
    const parts = [this.pane, this.strips];
    const follow = parts.filter((part) => grows && !same && part.isAtEnd());
    this.picture = picture;
    this.readStyle();
    this.title.textContent = picture.title;
    const name = `${picture.title}: ${picture.scale.quantity}. Arrow keys move, Shift extends.`;
    this.pane.node.setAttribute("aria-label", name);
    this.pane.node.style.maxHeight = `${picture.height}px`;
    this.drawLegend();
    this.strips.update(picture, this.palette, this.style);
    if (!grows) {
      this.pane.clear();
      this.leave();
    }
    this.pane.grow(picture.codePoints, picture.showWhitespace);
    this.pane.recolour(picture);
    if (!grows && !same) parts.forEach((part) => (picture.fromEnd ? part.toEnd() : part.toStart()));
    this.select(grows || same ? this.selection : picture.selection, { fresh: !grows });
    follow.forEach((part) => part.toEnd());
    this.show(picture.place, grows || same ? before.place : null);
  }

  /** Outline a place, and where it is called for, scroll there. */
  show(place, before) {
    this.pane.outline("place", place, before);
    this.strips.mark(this.pointed, this.selection, place);
    this.describe();
    if (!place || place.call === before?.call) return;
    this.pane.node.scrollIntoView({ block: "nearest" });
    this.pane.centre(place);
    // What was out of sight has its true height only after it has been laid out.
    requestAnimationFrame(() => this.pane.centre(place));
    this.strips.centre(place.start);
    this.pane.flash(place);
  }

  readStyle() {
    const computed = getComputedStyle(this.root);
    const read = (name, other) => computed.getPropertyValue(name).trim() || other;
    this.style = {
      ink: read("--st-text-color", "#000000"),
      paper: read("--paper"),
      paperInk: read("--paper-ink"),
      chosen: read("--chosen"),
      place: read("--place"),
      font: read("--st-font", "sans-serif"),
      monospace: read("--st-code-font", "monospace"),
    };
    this.palette = readPalette(this.picture.scale.colours, this.style.paper);
    const rule = ({ background, ink }, i) => `.c${i}{background:${background};color:${ink}}`;
    const rules = this.palette.map(rule).join("");
    if (this.paletteRules.textContent !== rules) this.paletteRules.textContent = rules;
  }

  drawLegend() {
    const { quantity, labels } = this.picture.scale;
    this.legend.replaceChildren();
    add(this.legend, "span", "quantity", quantity);
    const scale = add(this.legend, "span", "scale");
    const bar = add(scale, "span", "bar");
    bar.style.background = `linear-gradient(to right, ${legendStops(this.palette)})`;
    const line = add(scale, "span", "ends");
    for (const label of labels) add(line, "span", "", label);
  }

  // -------------------------------------------------------------- pointing

  point(position, row, box, follow) {
    this.pane.point(position);
    this.tooltip.show(this.picture, position, row, box);
    this.pointed = position;
    this.strips.mark(position, this.selection, this.picture.place);
    if (follow) this.strips.centre(position);
  }

  leave() {
    this.pointed = null;
    this.pane.point(-1);
    this.tooltip.hide();
    this.strips.mark(null, this.selection, this.picture.place);
  }

  listenToPointer() {
    const text = this.pane.node;
    const under = (event) => event.target.closest?.("span")?.position;
    text.addEventListener("pointermove", (event) => {
      const position = under(event);
      if (position === undefined) return this.leave();
      if (this.dragging) this.extend(position);
      if (position === this.pointed) return;
      this.point(position, this.picture.chosenRow, this.pane.box(position), true);
    });
    text.addEventListener("pointerdown", (event) => {
      const position = under(event);
      if (position === undefined || event.button !== 0) return;
      this.dragging = event.pointerType !== "touch"; // a finger scrolls
      this.press(position, event.shiftKey);
    });
    for (const node of [text, this.strips.scroller]) {
      node.addEventListener("pointerleave", () => this.leave());
    }
    this.root.addEventListener("pointerup", () => this.finish());
    this.root.addEventListener("pointerleave", () => this.finish());
    text.addEventListener("scroll", () => this.tooltip.hide());
    this.listenToStrips();
  }

  listenToStrips() {
    const { scroller } = this.strips;
    scroller.addEventListener("pointermove", (event) => {
      const found = this.strips.at(event);
      if (!found) return this.leave();
      this.point(found.position, found.row, this.strips.box(found.position, found.row), false);
      if (this.dragging) this.extend(found.position);
    });
    scroller.addEventListener("pointerdown", (event) => {
      const found = this.strips.at(event);
      if (!found || event.button !== 0) return;
      this.dragging = event.pointerType !== "touch";
      this.press(found.position, event.shiftKey);
      this.pane.reveal(found.position);
    });
  }

  press(position, extend) {
    if (extend && this.selection) this.extend(position);
    else {
      this.anchor = position;
      this.extend(position);
    }
    if (!this.dragging) this.finish();
  }

  finish() {
    if (this.dragging === undefined) return;
    this.dragging = undefined;
    this.send();
  }

  // -------------------------------------------------------------- selecting

  /** Select from the anchor to a position, both included. */
  extend(position) {
    this.cursor = position;
    const [start, last] = [this.anchor, position].sort((a, b) => a - b);
    this.select({ start, end: last + 1 }, {});
  }

  /** Show a selection; `fresh` where the spans are new and carry no outline yet. */
  select(selection, { fresh }) {
    this.pane.outline("chosen", selection, fresh ? null : this.selection);
    this.selection = selection;
    if (selection && fresh) {
      this.anchor = selection.start;
      this.cursor = selection.end - 1;
      this.strips.centre(selection.start);
      this.pane.centre(selection);
    }
    this.strips.mark(this.pointed, selection, this.picture.place);
    this.describe();
  }

  send() {
    clearTimeout(this.waiting);
    const { text, codePoints } = this.picture;
    const chosen = this.selection && { ...this.selection, text, length: codePoints.length };
    const message = JSON.stringify(chosen);
    if (message !== this.sent) this.report(chosen);
    this.sent = message;
  }

  describe() {
    const selection = this.selection
      ? describeSelection(this.picture, this.selection)
      : "Click a character or drag over several to select them. Arrow keys move, Shift extends, Escape clears.";
    const { place } = this.picture;
    const shown = place ? `Shown: ${rangeName(place)}. ` : "";
    // Only what is new, or it would be read out again and again while a text grows.
    if (this.status.textContent !== shown + selection) this.status.textContent = shown + selection;
  }

  listenToKeys() {
    const text = this.pane.node;
    text.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.picture.codePoints.length) return;
      const to = event.key === "Escape" ? null : this.keyTarget(event.key);
      if (to === undefined) return;
      event.preventDefault();
      this.move(to, event.shiftKey);
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.send(), KEYBOARD_PAUSE);
    });
    text.addEventListener("copy", (event) => {
      if (!this.selection) return;
      const chosen = this.picture.codePoints.slice(this.selection.start, this.selection.end);
      event.clipboardData.setData("text/plain", Array.from(chosen, (c) => String.fromCodePoint(c)).join(""));
      event.preventDefault();
    });
  }

  /** Where a key leads from the cursor; undefined for keys that lead nowhere. */
  keyTarget(key) {
    const last = this.picture.codePoints.length - 1;
    const from = this.selection ? this.cursor : null;
    const targets = {
      ArrowLeft: () => Math.max(0, from - 1),
      ArrowRight: () => Math.min(last, from + 1),
      ArrowUp: () => this.pane.neighbour(from, -1),
      ArrowDown: () => this.pane.neighbour(from, 1),
      Home: () => 0,
      End: () => last,
    };
    if (!targets[key]) return undefined;
    return from === null && key.startsWith("Arrow") ? 0 : targets[key]();
  }

  move(to, extend) {
    if (to === null) return this.select(null, {});
    if (!extend || !this.selection) this.anchor = to;
    this.extend(to);
    this.pane.reveal(to);
    this.strips.centre(to);
  }
}

function rangeName({ start, end }) {
  return end - start === 1 ? `Character ${count(end)}` : `Characters ${count(start + 1)} to ${count(end)}`;
}

function describeSelection(picture, { start, end }) {
  const offset = picture.chosenRow * picture.codePoints.length;
  const values = picture.values.slice(offset + start, offset + end).filter((v) => !Number.isNaN(v));
  const losses = picture.losses?.slice(start, end).filter((v) => !Number.isNaN(v));
  const bits = losses?.length ? `; loss ${decimals(losses.reduce((a, b) => a + b), 2)} bits` : "";
  if (end - start === 1) {
    const code = picture.codePoints[start];
    const value = decimals(values.length ? values[0] : NaN, 3);
    return `Character ${count(start + 1)} selected: ${visible(code)} ${picture.names[code]}, ${value}${bits}`;
  }
  const range = `${rangeName({ start, end })} selected (${count(end - start)})`;
  if (!values.length) return `${range}: no value${bits}`;
  const mean = values.reduce((a, b) => a + b) / values.length;
  const [least, most] = [Math.min, Math.max].map((pick) => values.reduce((a, b) => pick(a, b)));
  return `${range}: mean ${decimals(mean, 3)}, from ${decimals(least, 3)} to ${decimals(most, 3)}${bits}`;
}

// ---------------------------------------------------------------- the picture to keep

/** Download title, legend and text, laid out as on the screen, as a PNG file. */
function savePicture(view) {
  const margin = 24;
  const { pane, picture, style } = view;
  pane.node.classList.add("whole");
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
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
  drawHead(context, view, titleLines, margin);
  drawText(context, view, margin, textTop, height - (wanted > height ? 40 : 0));
  pane.node.classList.remove("whole");
  if (wanted > height) {
    context.font = `14px ${style.font}`;
    context.fillStyle = style.paperInk;
    context.fillText("The text goes on: a picture can be no longer than this.", margin, height - 16);
  }
  canvas.toBlob((blob) => download(blob, `${fileName(picture.title)}.png`), "image/png");
}

function wrap(context, text, width) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (context.measureText(longer).width <= width || !lines.at(-1)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

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
    context.textAlign = ["left", "center", "right"][i];
    context.fillText(label, left + i * 110, top + 30);
  });
  context.textAlign = "left";
}

function drawText(context, { palette, pane, picture, selection, style }, margin, top, bottom) {
  const frame = pane.node.getBoundingClientRect();
  const indent = parseFloat(getComputedStyle(pane.node.firstChild).paddingLeft);
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

function fileName(title) {
  const words = title.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["coloured", "text"];
  return words.join("-").slice(0, 80);
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
