// The whole: the parts, and what moves between them.

import { legendStops, readPalette } from "./colours.mjs";
import { add } from "./elements.mjs";
import { Pane } from "./pane.mjs";
import { savePicture } from "./picture_export.mjs";
import { continues, describeSelection, keyTarget, rangeName, spanBetween } from "./selection.mjs";
import { Strips } from "./strips.mjs";
import { Tooltip } from "./tooltip.mjs";

/** @typedef {import("./colours.mjs").Colour} Colour */
/** @typedef {import("./message.mjs").Picture} Picture */
/** @typedef {import("./message.mjs").Place} Place */
/** @typedef {import("./message.mjs").Span} Span */
/** The page's colours and fonts, as CSS tells them.
 * @typedef {Record<"ink" | "paper" | "paperInk" | "chosen" | "place" | "font" | "monospace", string>} Style */
/** A selection as Python is told it: in which text, and how long that is.
 * @typedef {Span & {text: string, length: number}} Reported */

const KEYBOARD_PAUSE = 250; // milliseconds without a key before a selection is reported

export class View {
  /** @type {(selection: Reported | null) => void} */
  report = () => {};
  /** @type {Colour[]} */
  palette = [];
  /** @type {Span | null} */
  selection = null;
  /** @type {number | null} */
  pointed = null;
  anchor = 0; // where a selection began
  cursor = 0; // where it was led to
  /** Whether a button is held and drags; undefined while none is pressed.
   * @type {boolean | undefined} */
  dragging;
  /** @type {string | undefined} */
  sent;
  /** @type {number | undefined} */
  waiting;

  /**
   * @param {Element} parent
   * @param {Picture} picture
   */
  constructor(parent, picture) {
    this.picture = picture;
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
    this.style = this.readStyle();
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

  /**
   * @param {Picture} picture
   * @param {Picture} [before] what was drawn, if anything was
   */
  update(picture, before) {
    const grows = continues(picture, before);
    const same = before?.text === picture.text;
    const parts = [this.pane, this.strips];
    const follow = parts.filter((part) => grows && !same && part.isAtEnd());
    this.picture = picture;
    this.style = this.readStyle();
    this.palette = this.readPalette();
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
    this.show(picture.place, (grows || same) && before ? before.place : null);
  }

  /**
   * Outline a place, and where it is called for, scroll there.
   * @param {Place | null} place
   * @param {Place | null} before
   */
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

  /** @returns {Style} */
  readStyle() {
    const computed = getComputedStyle(this.root);
    const read = (/** @type {string} */ name, other = "") =>
      computed.getPropertyValue(name).trim() || other;
    return {
      ink: read("--st-text-color", "#000000"),
      paper: read("--paper"),
      paperInk: read("--paper-ink"),
      chosen: read("--chosen"),
      place: read("--place"),
      font: read("--st-font", "sans-serif"),
      monospace: read("--st-code-font", "monospace"),
    };
  }

  /** The colours of the scale, and a CSS rule for each. */
  readPalette() {
    const palette = readPalette(this.picture.scale.colours, this.style.paper);
    /** @type {(colour: Colour, index: number) => string} */
    const rule = ({ background, ink }, i) => `.c${i}{background:${background};color:${ink}}`;
    const rules = palette.map(rule).join("");
    if (this.paletteRules.textContent !== rules) this.paletteRules.textContent = rules;
    return palette;
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

  /**
   * @param {number} position
   * @param {number} row
   * @param {DOMRect} box of the character
   * @param {boolean} follow whether the strips are moved there
   */
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
    /** @type {(event: Event) => number | undefined} */
    const under = ({ target }) => {
      const span = target instanceof Element ? target.closest("span") : null;
      return /** @type {import("./pane.mjs").CharacterSpan | null} */ (span)?.position;
    };
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

  /**
   * @param {number} position
   * @param {boolean} extend what is selected, or begin anew
   */
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

  /**
   * Select from the anchor to a position, both included.
   * @param {number} position
   */
  extend(position) {
    this.cursor = position;
    this.select(spanBetween(this.anchor, position));
  }

  /**
   * Show a selection; `fresh` where the spans are new and carry no outline yet.
   * @param {Span | null} selection
   * @param {{fresh?: boolean}} how
   */
  select(selection, { fresh = false } = {}) {
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
      const from = this.selection ? this.cursor : null;
      const last = this.picture.codePoints.length - 1;
      /** @type {Pane["neighbour"]} */
      const neighbour = (position, direction) => this.pane.neighbour(position, direction);
      const to = event.key === "Escape" ? null : keyTarget(event.key, from, last, neighbour);
      if (to === undefined) return;
      event.preventDefault();
      this.move(to, event.shiftKey);
      clearTimeout(this.waiting);
      this.waiting = window.setTimeout(() => this.send(), KEYBOARD_PAUSE);
    });
    text.addEventListener("copy", (event) => {
      if (!this.selection) return;
      const chosen = this.picture.codePoints.slice(this.selection.start, this.selection.end);
      event.clipboardData?.setData("text/plain", Array.from(chosen, (c) => String.fromCodePoint(c)).join(""));
      event.preventDefault();
    });
  }

  /**
   * @param {number | null} to a position, or null to select nothing
   * @param {boolean} extend
   */
  move(to, extend) {
    if (to === null) return this.select(null);
    if (!extend || !this.selection) this.anchor = to;
    this.extend(to);
    this.pane.reveal(to);
    this.strips.centre(to);
  }
}
