import assert from "node:assert/strict";
import { test } from "node:test";
import { unpack } from "../../dashboard/coloured_text/message.mjs";

/** A message as `_pack` in Python writes it, at an offset that no typed array could begin at. */
function message(header, body) {
  let head = JSON.stringify(header);
  head = head.padEnd(Math.ceil(head.length / 4) * 4);
  const bytes = new Uint8Array(1 + 4 + head.length + body.length);
  new DataView(bytes.buffer).setUint32(1, head.length, true);
  bytes.set(new TextEncoder().encode(head), 5);
  bytes.set(body, 5 + head.length);
  return bytes.subarray(1);
}

test("a message is its header and its arrays, wherever in memory it lies", () => {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  view.setUint32(0, 0x1f469, true);
  body.set([7, 255, 9], 4);
  view.setFloat32(8, -0.5, true);
  view.setFloat32(12, NaN, true);
  const arrays = [
    ["codePoints", "uint32", 0, 1], ["skipped", "uint8", 4, 3], ["values", "float32", 8, 2],
  ];
  const picture = unpack(message({ title: "x", arrays }, body));
  assert.equal(picture.title, "x");
  assert.deepEqual(picture.codePoints, Uint32Array.of(0x1f469));
  assert.deepEqual(picture.skipped, Uint8Array.of(7, 255, 9));
  assert.deepEqual(picture.values, Float32Array.of(-0.5, NaN));
});
