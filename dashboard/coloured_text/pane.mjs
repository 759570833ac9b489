// The running text.

import { running } from "./characters.mjs";
import { colourIndex } from "./colours.mjs";
import { add, NEARLY } from "./elements.mjs";

/** @typedef {import("./message.mjs").Picture} Picture */
/** @typedef {import("./message.mjs").Span} Span */
/** @typedef {HTMLSpanElement & {position?: number}} CharacterSpan */

const BLOCK = 1500; // characters that are laid out together, at least
const FLASH = { duration: 450, iterations: 3 }; // of a place that is shown, in milliseconds

/** The running text: one span a character, made once, then only recoloured. */
export class Pane {
  /** @type {CharacterSpan[]} */
  spans = [];
  /** Of each span, as `colourIndex` tells it. */
  colours = new Int16Array(0);
  /** @type {CharacterSpan | undefined} */
  pointed;

  /** @param {Element} parent */
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

  /**
   * Add what a text has more than is shown of it.
   * @param {Uint32Array} codePoints
   * @param {boolean} showWhitespace
   */
  grow(codePoints, showWhitespace) {
    const shown = this.spans.length;
    if (shown === codePoints.length) return;
    const { fontSize } = getComputedStyle(this.node);
    const width = this.node.clientWidth;
    const blocks = [/** @type {HTMLElement} */ (this.node.lastChild)];
    for (let i = shown; i < codePoints.length; i++) {
      const full = codePoints[i - 1] === 0x0a && blocks[blocks.length - 1].childNodes.length >= BLOCK;
      if (full) blocks.push(add(this.node, "div", "block"));
      this.spans.push(this.addCharacter(blocks[blocks.length - 1], codePoints[i], i, showWhitespace));
    }
    for (const block of blocks) {
      const height = expectedHeight(block.textContent ?? "", parseFloat(fontSize), width);
      block.style.setProperty("contain-intrinsic-size", `auto ${height}px`);
    }
    const colours = new Int16Array(codePoints.length).fill(-2);
    colours.set(this.colours);
    this.colours = colours;
  }

  /**
   * @param {HTMLElement} block
   * @param {number} code
   * @param {number} position
   * @param {boolean} showWhitespace
   */
  addCharacter(block, code, position, showWhitespace) {
    /** @type {CharacterSpan} */
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

  /** @param {Picture} picture */
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

  /**
   * Outline the characters of a range and those of `before` no more.
   * @param {"chosen" | "place"} mark
   * @param {Span | null} range
   * @param {Span | null} before
   */
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

  /** @param {Span} range */
  flash({ start, end }) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const lit = { background: "#ffdd33", color: "#000000" };
    for (const span of this.spans.slice(start, end)) span.animate([lit, lit, {}], FLASH);
  }

  /** @param {number} position of the character under the pointer, or -1 */
  point(position) {
    if (this.pointed) delete this.pointed.dataset.pointed;
    this.pointed = this.spans[position];
    if (this.pointed) this.pointed.dataset.pointed = "";
  }

  /** @param {number} position */
  box(position) {
    return this.spans[position].getClientRects()[0] ?? this.spans[position].getBoundingClientRect();
  }

  /**
   * Scroll the pane, never the page, until a character can be seen.
   * @param {number} position
   */
  reveal(position) {
    const box = this.box(position);
    const frame = this.node.getBoundingClientRect();
    if (box.top < frame.top) this.node.scrollTop -= frame.top - box.top + 8;
    else if (box.bottom > frame.bottom) this.node.scrollTop += box.bottom - frame.bottom + 8;
  }

  /**
   * Scroll the pane until a range begins in its middle, or above where it would not fit.
   * @param {Span} range
   */
  centre({ start, end }) {
    const top = this.box(start).top;
    const height = this.box(end - 1).bottom - top;
    const room = Math.max(24, (this.node.clientHeight - height) / 2);
    this.node.scrollTop += top - this.node.getBoundingClientRect().top - room;
  }

  /**
   * The character one line up (-1) or down (1), as straight above or below as there is.
   * @param {number} position
   * @param {1 | -1} direction
   */
  neighbour(position, direction) {
    const from = this.box(position);
    let best = position;
    let bestDistance = Infinity;
    /** @type {number | undefined} */
    let line;
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

/**
 * A guess at the height of a block in pixels, while the browser has not laid it out.
 * @param {string} text
 * @param {number} fontSize in pixels
 * @param {number} width in pixels
 */
export function expectedHeight(text, fontSize, width) {
  const columns = Math.max(10, width / (0.6 * fontSize));
  const lines = text.split("\n");
  const rows = lines.reduce((sum, line) => sum + Math.ceil(line.length / columns), 0);
  return Math.round(1.65 * fontSize * rows);
}
