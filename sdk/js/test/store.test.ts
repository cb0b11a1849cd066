import assert from "node:assert/strict";
import { test } from "node:test";
import { openStore } from "../src/store.js";

/** A browser's localStorage of so many characters. */
const storageOf = (room: number): Storage => {
  const laid: Record<string, string> = {};
  const methods = {
    getItem: (key: string) => laid[key] ?? null,
    removeItem: (key: string) => void delete laid[key],
    setItem: (key: string, value: string) => {
      const others = Object.entries(laid).filter(([each]) => each !== key);
      if (others.reduce((sum, [, text]) => sum + text.length, value.length) > room) throw new Error("QuotaExceededError");
      laid[key] = value;
    },
  };
  return new Proxy(laid, {
    get: (_, name: string) => methods[name as keyof typeof methods],
  }) as unknown as Storage;
};

test("what fits is on the disk, what does not is kept in memory, and the newest counts", () => {
  const disk = storageOf(4);
  const store = openStore(() => disk);
  store.set("a", "1234");
  store.set("b", "5");
  assert.deepEqual([store.get("a"), store.get("b"), store.fleeting("a"), store.fleeting("b")], ["1234", "5", false, true]);
  store.set("a", "12345");
  assert.deepEqual([store.get("a"), disk.getItem("a"), store.fleeting("a")], ["12345", null, true]);
  store.set("a", "1");
  assert.deepEqual([store.get("a"), disk.getItem("a"), store.fleeting("a")], ["1", "1", false]);
  store.remove("b");
  assert.equal(store.get("b"), null);
});

test("keys come in order, wherever they are kept", () => {
  const store = openStore(() => storageOf(2));
  for (const key of ["q.3", "q.1", "q.2", "other"]) store.set(key, "x");
  assert.deepEqual(store.keys("q."), ["q.1", "q.2", "q.3"]);
});

test("a storage that is blocked costs nothing but what ends with the page", () => {
  const store = openStore(() => {
    throw new Error("SecurityError");
  });
  store.set("a", "1");
  assert.deepEqual([store.get("a"), store.fleeting("a"), store.keys("")], ["1", true, ["a"]]);
});
