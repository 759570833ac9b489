// What is selected: where keys lead, what it is called, when it stays.

import { count, decimals, visible } from "./characters.mjs";

/** @typedef {import("./message.mjs").Picture} Picture */
/** @typedef {import("./message.mjs").Span} Span */

/**
 * From one character to another, both included, in whichever order.
 * @param {number} anchor
 * @param {number} position
 * @returns {Span}
 */
export function spanBetween(anchor, position) {
  return { start: Math.min(anchor, position), end: Math.max(anchor, position) + 1 };
}

/**
 * Where a key leads from the cursor; undefined for keys that lead nowhere.
 * @param {string} key
 * @param {number | null} from the cursor, or null where nothing is selected
 * @param {number} last character of the text
 * @param {(position: number, direction: 1 | -1) => number} neighbour a line up (-1) or down (1)
 * @returns {number | undefined}
 */
export function keyTarget(key, from, last, neighbour) {
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(key)) return undefined;
  if (from === null) return 0;
  if (key === "ArrowLeft") return Math.max(0, from - 1);
  if (key === "ArrowRight") return Math.min(last, from + 1);
  return neighbour(from, key === "ArrowUp" ? -1 : 1);
}

/**
 * A span in words, counted from 1.
 * @param {Span} span
 */
export function rangeName({ start, end }) {
  return end - start === 1 ? `Character ${count(end)}` : `Characters ${count(start + 1)} to ${count(end)}`;
}

/**
 * A selection in a sentence: its values and its loss.
 * @param {Picture} picture
 * @param {Span} selection
 */
export function describeSelection(picture, { start, end }) {
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

/**
 * Whether a text begins with all characters of the one before, shown in the same way.
 * @param {Picture} picture
 * @param {Picture} [before]
 */
export function continues(picture, before) {
  if (!before?.codePoints.length || before.showWhitespace !== picture.showWhitespace) return false;
  return before.codePoints.every((code, i) => code === picture.codePoints[i]);
}
