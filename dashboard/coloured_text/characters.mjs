// Characters and numbers as they are written.

/**
 * A character as something that can be seen, whatever it is; never empty.
 * @param {number} code
 * @returns {string}
 */
export function visible(code) {
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

/**
 * A character as it stands in running text, where white space does its work.
 * @param {number} code
 * @param {boolean} showWhitespace
 * @returns {string}
 */
export function running(code, showWhitespace) {
  if (code === 0x0a) return (showWhitespace ? "⏎" : " ") + "\n";
  if (code === 0x09) return (showWhitespace ? "→" : "") + "\t";
  if (code === 0x20) return showWhitespace ? "·\u200b" : " "; // a line may break after the dot
  return visible(code);
}

/** @param {number} code */
export function codePointLabel(code) {
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

/** @param {number} byte */
export function byteLabel(byte) {
  if (byte === 0x20) return "space";
  if (byte === 0x0a) return "⏎";
  if (byte > 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return "0x" + byte.toString(16).toUpperCase().padStart(2, "0");
}

/**
 * @param {number} value
 * @param {number} digits after the point
 */
export function decimals(value, digits) {
  return Number.isNaN(value) ? "no value" : value.toFixed(digits).replace("-", "−");
}

/** @param {number} value */
export function count(value) {
  return value.toLocaleString("en");
}
