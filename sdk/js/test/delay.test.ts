import assert from "node:assert/strict";
import { test } from "node:test";
import { delayOf } from "../src/delay.js";

test("each failure doubles the wait, up to five minutes", () => {
  assert.deepEqual([1, 2, 3, 9, 2_000].map((n) => delayOf(n, null, 0, 1)), [2_000, 4_000, 8_000, 300_000, 300_000]);
});

test("jitter takes up to half of it", () => {
  assert.deepEqual([0, 0.5, 1].map((random) => delayOf(1, null, 0, random)), [1_000, 1_500, 2_000]);
});

test("it is never sooner than the server asks", () => {
  for (let n = 0; n < 100; n++) assert.ok(delayOf(1, "30", 0, n / 100) >= 30_000);
  assert.equal(delayOf(1, "Thu, 01 Jan 1970 00:01:40 GMT", 40_000, 0), 60_000);
  assert.equal(delayOf(8, "1", 0, 1), 256_000);
});

test("what the server asks is believed within reason", () => {
  assert.equal(delayOf(1, "86400", 0, 0), 3_600_000);
  assert.equal(delayOf(1, "soon", 0, 1), 2_000);
  assert.equal(delayOf(1, "-5", 0, 1), 2_000);
});
