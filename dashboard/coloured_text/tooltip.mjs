// What is known of the character pointed at.

import { byteLabel, codePointLabel, count, decimals, visible } from "./characters.mjs";
import { add } from "./elements.mjs";

/** @typedef {import("./message.mjs").Picture} Picture */

/** What is known of one character, beside it and inside the component. */
export class Tooltip {
  /** @param {Element} parent */
  constructor(parent) {
    this.parent = parent;
    this.node = add(parent, "div", "tooltip");
    this.node.setAttribute("role", "tooltip");
    this.hide();
  }

  hide() {
    this.node.hidden = true;
  }

  /**
   * @param {Picture} picture
   * @param {number} position
   * @param {number} row
   * @param {DOMRect} box of the character
   */
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
    const { nextTokens, probabilities, tokens } = picture;
    if (nextTokens && probabilities) {
      const guesses = nextTokens.length / picture.codePoints.length;
      const [start, end] = [position * guesses, (position + 1) * guesses];
      const names = Array.from(nextTokens.subarray(start, end), (token) =>
        tokens ? tokens[token] : byteLabel(token));
      this.addGuesses(names, probabilities.subarray(start, end));
    }
    this.node.hidden = false;
    this.place(box);
  }

  /**
   * @param {string[]} names of the tokens, the likeliest first
   * @param {Float32Array} probabilities of these
   */
  addGuesses(names, probabilities) {
    add(this.node, "div", "guess-title", "likeliest next");
    const list = add(this.node, "div", "guesses");
    for (const [i, probability] of probabilities.entries()) {
      add(list, "span", "byte", names[i]);
      add(add(list, "span", "bar"), "span").style.width = `${100 * Math.min(1, Math.max(0, probability))}%`;
      add(list, "span", "share", `${(100 * probability).toFixed(1)} %`);
    }
  }

  /**
   * Under the character, or over it where there is no room below; never out of the component.
   * @param {DOMRect} box
   */
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
