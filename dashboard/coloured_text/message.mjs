// What Python sends: its arrays and all that is told about them.

/** How values become colours; `stops` and `labels` are those of its low, middle and high end.
 * @typedef {{quantity: string, colours: string[], stops: Stops, labels: string[]}} Scale */
/** @typedef {[low: number, middle: number, high: number]} Stops */

/** Characters from `start` to `end`, `end` not included.
 * @typedef {{start: number, end: number}} Span */
/** Characters to show; a new `call` shows them anew.
 * @typedef {Span & {call: number}} Place */

/**
 * @typedef {object} Picture
 * @property {string} text what names the text; it depends on every character
 * @property {string} title
 * @property {string[]} rows their labels, the lowest layer first
 * @property {string} strips
 * @property {number} chosenRow
 * @property {Scale} scale
 * @property {Record<number, string>} names by code point
 * @property {boolean} showWhitespace
 * @property {number} height in pixels
 * @property {Span | null} selection
 * @property {Place | null} place
 * @property {boolean} fromEnd
 * @property {Uint32Array} codePoints [character]
 * @property {Float32Array} values [row, character], NaN where there is none
 * @property {Float32Array} [losses] [character] in bits
 * @property {Uint32Array} [nextTokens] [character, guess], the likeliest first
 * @property {Uint8Array} [skipped] [character], 1 where the model does not read it
 * @property {Record<number, string> | null} [tokens] what tokens are called; bytes without it
 * @property {Float32Array} [probabilities] [character, guess]
 */

const ARRAY_TYPES = { uint8: Uint8Array, uint32: Uint32Array, float32: Float32Array };

/**
 * Read the message of `_pack` in Python: header length, header, arrays.
 * @param {Uint8Array} bytes
 * @returns {Picture}
 */
export function unpack(bytes) {
  const buffer = bytes.slice().buffer; // a copy of its own, so that typed arrays are aligned
  const length = new DataView(buffer).getUint32(0, true);
  const picture = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  /** @type {[name: string, kind: keyof typeof ARRAY_TYPES, offset: number, size: number][]} */
  const arrays = picture.arrays;
  for (const [name, kind, offset, size] of arrays) {
    picture[name] = new ARRAY_TYPES[kind](buffer, 4 + length + offset, size);
  }
  return picture;
}
