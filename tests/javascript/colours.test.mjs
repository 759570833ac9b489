import assert from "node:assert/strict";
import { test } from "node:test";
import { channels, colourIndex, legendStops, luminance } from "../../dashboard/coloured_text/colours.mjs";

test("a canvas tells a colour in two ways", () => {
  assert.deepEqual(channels("#ff8001"), [255, 128, 1, 1]);
  assert.deepEqual(channels("rgba(255, 128, 1, 0.25)"), [255, 128, 1, 0.25]);
});

test("the luminance is WCAG's", () => {
  assert.ok(Math.abs(luminance([255, 255, 255]) - 1) < 1e-12);
  assert.equal(luminance([0, 0, 0]), 0);
  // Mid grey by hand: ((128 / 255 + 0.055) / 1.055) ** 2.4 = 0.21586
  assert.ok(Math.abs(luminance([128, 128, 128]) - 0.21586) < 1e-5);
  assert.ok(Math.abs(luminance([255, 0, 0]) - 0.2126) < 1e-12);
});

test("each half of a scale takes half of the colours", () => {
  const index = (value) => colourIndex(value, [-1, 0, 3], 101);
  assert.deepEqual([-1, -0.5, 0, 1.5, 3].map(index), [0, 25, 50, 75, 100]);
  assert.deepEqual([-9, 9, -Infinity, Infinity].map(index), [0, 100, 0, 100]);
  assert.equal(index(NaN), -1);
});

test("few colours of a legend are blocks, many a gradient", () => {
  const palette = (size) => Array.from({ length: size }, (_, i) => ({ background: `c${i}`, ink: "" }));
  assert.equal(legendStops(palette(2)), "c0 0% 50%,c1 50% 100%");
  assert.equal(legendStops(palette(9)), "c0,c1,c2,c3,c4,c5,c6,c7,c8");
});
