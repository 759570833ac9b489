// Values and CSS colours as what is painted.

import { context2d } from "./elements.mjs";

/** @typedef {import("./message.mjs").Stops} Stops */
/** A colour of the scale, and the ink that is read on it.
 * @typedef {{background: string, ink: string}} Colour */

/** @type {CanvasRenderingContext2D | undefined} */
let colourReader;

/**
 * Red, green, blue (0 to 255) and opacity (0 to 1) of any CSS colour.
 * @param {string} css
 * @returns {number[]}
 */
export function parseColour(css) {
  colourReader ??= context2d(document.createElement("canvas"));
  colourReader.fillStyle = css;
  return channels(colourReader.fillStyle);
}

/**
 * The four numbers of a colour as a canvas tells it.
 * @param {string} plain
 */
export function channels(plain) {
  // "#rrggbb", or "rgba(…)" where it is translucent
  if (plain.startsWith("#")) {
    return [...(plain.match(/[0-9a-f]{2}/g) ?? []).map((part) => parseInt(part, 16)), 1];
  }
  return (plain.match(/[\d.]+/g) ?? []).map(Number);
}

/**
 * The relative luminance (0 to 1) of WCAG.
 * @param {number[]} colour
 */
export function luminance([red, green, blue]) {
  const linear = [red, green, blue].map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

/**
 * Each colour laid over the paper, with the ink, black or white, that reads better on it.
 * @param {string[]} colours
 * @param {string} paper
 * @returns {Colour[]}
 */
export function readPalette(colours, paper) {
  const under = parseColour(paper);
  return colours.map((css) => {
    const [red, green, blue, opacity] = parseColour(css);
    /** @type {(part: number, index: number) => number} */
    const over = (part, i) => Math.round(part * opacity + under[i] * (1 - opacity));
    const mixed = [red, green, blue].map(over);
    const ink = luminance(mixed) > 0.18 ? "#000000" : "#ffffff";
    return { background: `rgb(${mixed.join(", ")})`, ink };
  });
}

/**
 * The index in the palette of a value, or -1 for no value.
 * @param {number} value
 * @param {Stops} stops
 * @param {number} colours how many
 */
export function colourIndex(value, [low, middle, high], colours) {
  if (Number.isNaN(value)) return -1;
  const lower = value < middle;
  const share = lower ? (value - low) / (middle - low) / 2 : 0.5 + (value - middle) / (high - middle) / 2;
  return Math.round(Math.min(1, Math.max(0, share)) * (colours - 1));
}

/**
 * The colours of a legend; where they are few, each as a block of its own.
 * @param {Colour[]} palette
 */
export function legendStops(palette) {
  if (palette.length > 8) return palette.map((c) => c.background).join(",");
  const share = 100 / palette.length;
  return palette.map((c, i) => `${c.background} ${i * share}% ${(i + 1) * share}%`).join(",");
}
