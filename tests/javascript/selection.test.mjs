import assert from "node:assert/strict";
import { test } from "node:test";
import {
  continues, describeSelection, keyTarget, rangeName, spanBetween,
} from "../../dashboard/coloured_text/selection.mjs";

const encoded = (text) => Uint32Array.from(text, (character) => character.codePointAt(0));

test("a span is the same from either end", () => {
  assert.deepEqual(spanBetween(3, 7), { start: 3, end: 8 });
  assert.deepEqual(spanBetween(7, 3), { start: 3, end: 8 });
  assert.deepEqual(spanBetween(9, 10), { start: 9, end: 11 }); // as numbers, not as words
  assert.deepEqual(spanBetween(4, 4), { start: 4, end: 5 });
});

test("keys lead along the text and never out of it", () => {
  const lines = (position, direction) => position + 10 * direction;
  const target = (key, from) => keyTarget(key, from, 20, lines);
  assert.deepEqual([target("ArrowLeft", 5), target("ArrowLeft", 0)], [4, 0]);
  assert.deepEqual([target("ArrowRight", 5), target("ArrowRight", 20)], [6, 20]);
  assert.deepEqual([target("ArrowUp", 12), target("ArrowDown", 3)], [2, 13]);
  assert.deepEqual([target("Home", 5), target("End", 5), target("End", null)], [0, 20, 20]);
  for (const key of ["Left", "Right", "Up", "Down"]) assert.equal(target(`Arrow${key}`, null), 0);
  for (const key of ["a", "Tab", "constructor", "ArrowSideways"]) assert.equal(target(key, 5), undefined);
});

test("spans are named from 1", () => {
  assert.equal(rangeName({ start: 0, end: 1 }), "Character 1");
  assert.equal(rangeName({ start: 999, end: 2000 }), "Characters 1,000 to 2,000");
});

test("a selection is described by the chosen row's values and its loss", () => {
  const picture = {
    codePoints: encoded("abc"),
    values: Float32Array.of(9, 9, 9, -0.5, 0.25, NaN),
    losses: Float32Array.of(NaN, 1.5, 2),
    chosenRow: 1,
    names: { 97: "latin small letter a", 99: "latin small letter c" },
  };
  assert.equal(
    describeSelection(picture, { start: 0, end: 3 }),
    "Characters 1 to 3 selected (3): mean −0.125, from −0.500 to 0.250; loss 3.50 bits",
  );
  assert.equal(
    describeSelection(picture, { start: 0, end: 1 }),
    "Character 1 selected: a latin small letter a, −0.500",
  );
  assert.equal(
    describeSelection(picture, { start: 2, end: 3 }),
    "Character 3 selected: c latin small letter c, no value; loss 2.00 bits",
  );
  assert.equal(
    describeSelection({ ...picture, values: new Float32Array(6).fill(NaN), losses: undefined }, { start: 0, end: 2 }),
    "Characters 1 to 2 selected (2): no value",
  );
});

test("a text continues the one that it begins with", () => {
  const picture = (text, showWhitespace = false) => ({ codePoints: encoded(text), showWhitespace });
  assert.equal(continues(picture("abc"), picture("ab")), true);
  assert.equal(continues(picture("abc"), picture("abc")), true);
  assert.equal(continues(picture("ab"), picture("abc")), false);
  assert.equal(continues(picture("axc"), picture("ab")), false);
  assert.equal(continues(picture("abc", true), picture("ab")), false);
  assert.equal(continues(picture("abc"), picture("")), false);
  assert.equal(continues(picture("abc"), undefined), false);
});
