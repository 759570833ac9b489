import assert from "node:assert/strict";
import { test } from "node:test";
import {
  byteLabel, codePointLabel, count, decimals, running, visible,
} from "../../dashboard/coloured_text/characters.mjs";

const code = (character) => character.codePointAt(0);

test("white space, controls and what has no glyph can be seen", () => {
  const shown = { "\n": "⏎", "\t": "→", " ": "·", "\0": "␀", "\x1b": "␛", "\x7f": "␡" };
  for (const [character, glyph] of Object.entries(shown)) assert.equal(visible(code(character)), glyph);
  for (const hidden of [0xd800, 0xdfff, 0x85, 0x200d, 0x2028, 0x2029, 0xfeff]) {
    assert.equal(visible(hidden), "▯");
  }
  assert.equal(visible(0x301), "◌\u0301"); // a combining accent needs something to stand on
  for (const letter of ["a", "<", "é", "ש", "👩"]) assert.equal(visible(code(letter)), letter);
});

test("in running text white space does its work, and is shown where that is asked for", () => {
  const both = (character) => [false, true].map((show) => running(code(character), show));
  assert.deepEqual(both("\n"), [" \n", "⏎\n"]);
  assert.deepEqual(both("\t"), ["\t", "→\t"]);
  assert.deepEqual(both(" "), [" ", "·\u200b"]);
  assert.deepEqual(both("\r"), ["␍", "␍"]);
  assert.deepEqual(both("x"), ["x", "x"]);
});

test("no character is without width", () => {
  for (let point = 0; point < 0x3000; point++) assert.notEqual(visible(point), "");
});

test("code points and bytes have labels", () => {
  assert.deepEqual([0x41, 0x301, 0x1f469].map(codePointLabel), ["U+0041", "U+0301", "U+1F469"]);
  assert.deepEqual(
    [0x20, 0x0a, 0x21, 0x7e, 0x09, 0x7f, 0xff].map(byteLabel),
    ["space", "⏎", "!", "~", "0x09", "0x7F", "0xFF"],
  );
});

test("numbers have a true minus and thousands", () => {
  assert.equal(decimals(-0.12345, 3), "−0.123");
  assert.equal(decimals(2, 2), "2.00");
  assert.equal(decimals(NaN, 2), "no value");
  assert.equal(count(1234567), "1,234,567");
});
