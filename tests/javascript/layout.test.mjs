import assert from "node:assert/strict";
import { test } from "node:test";
import { expectedHeight } from "../../dashboard/coloured_text/pane.mjs";
import { fileName, wrap } from "../../dashboard/coloured_text/picture_export.mjs";

test("a block's height is guessed from its lines", () => {
  // 10 pixels a letter's height are 6 its width: 20 columns of 120, so 1 + 2 lines of 16.5 pixels.
  assert.equal(expectedHeight("x".repeat(20) + "\n" + "x".repeat(21), 10, 120), Math.round(3 * 16.5));
  assert.equal(expectedHeight("x".repeat(20), 10, 0), Math.round(2 * 16.5)); // 10 columns at least
});

test("a title is broken between words", () => {
  const context = { measureText: (text) => ({ width: text.length }) };
  assert.deepEqual(wrap(context, "one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrap(context, "a verylongword b", 6), ["a", "verylongword", "b"]);
  assert.deepEqual(wrap(context, "", 6), [""]);
});

test("a file is named by the words of its title alone", () => {
  assert.equal(fileName("Layer 1, unit 3: tanh(c)"), "layer-1-unit-3-tanh-c");
  assert.equal(fileName("../../etc/passwd"), "etc-passwd");
  assert.equal(fileName("Größe שלום"), "größe-שלום");
  assert.equal(fileName("…"), "coloured-text");
  assert.equal(fileName("x".repeat(200)).length, 80);
});
