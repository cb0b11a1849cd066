import assert from "node:assert/strict";
import { test } from "node:test";
import { kept } from "../src/experiments.js";
import { openStore } from "../src/store.js";

const stored = (text: string) => {
  const store = openStore(() => {
    throw new Error("blocked");
  });
  store.set("tailorbird.variants", text);
  return store;
};
const told = [{ key: "headline", variant: "b", payload: { headline: "Hi" } }];

test("variants are kept for the same visitor and question, and for a while", () => {
  const store = stored(JSON.stringify({ who: "/a1", until: 1_000, asked: "[]", told }));
  assert.deepEqual(kept(store, "/a1", "[]", 999), told);
  assert.equal(kept(store, "u/a1", "[]", 999), undefined);
  assert.equal(kept(store, "/a1", '["other"]', 999), undefined);
  assert.equal(kept(store, "/a1", "[]", 1_000), undefined);
});

test("what is not ours is as if there were nothing", () => {
  for (const text of ["", "{", "null", "7"]) assert.equal(kept(stored(text), "/a1", "[]", 0), undefined);
});
