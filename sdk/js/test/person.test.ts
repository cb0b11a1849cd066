import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { newClock, newId } from "../src/ids.js";
import { KEPT, openPerson } from "../src/person.js";
import { openStore } from "../src/store.js";

const blocked = () => {
  throw new Error("SecurityError");
};

test("a session ends after half an hour of quiet, and the person stays", () => {
  mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const person = openPerson(openStore(blocked), () => "direct");
  assert.equal(person.now(), undefined);
  person.grant();
  const first = person.now()!;
  for (let minute = 0; minute < 120; minute += 29) {
    mock.timers.tick(29 * 60_000);
    assert.equal(person.now()!.s, first.s);
  }
  mock.timers.tick(31 * 60_000);
  assert.notEqual(person.now()!.s, first.s);
  assert.equal(person.now()!.a, first.a);
  mock.timers.reset();
});

test("the last thirty answers that were clicked in are remembered", () => {
  const person = openPerson(openStore(blocked), () => "direct");
  person.grant();
  for (let n = 0; n < 40; n++) person.clicked({ itemId: `i${n}`, recommendationId: "r1", position: n });
  person.clicked({ itemId: "i20", recommendationId: "r2", position: 0 });
  const known = person.now()!.r;
  assert.equal(known.length, 30);
  assert.deepEqual([known[0], known.at(-1)], [["i10", "r1", 10], ["i20", "r2", 0]]);
});

test("what another script wrote in our place is no consent", () => {
  const store = openStore(blocked);
  const person = openPerson(store, () => "direct");
  person.grant();
  store.set(KEPT, "{");
  assert.equal(person.now(), undefined);
});

test("instants of one millisecond keep their order", () => {
  let now = 1_700_000_000_000;
  const stamp = newClock(() => now);
  const made = [stamp(), stamp(), stamp()];
  now++;
  made.push(stamp());
  assert.deepEqual(made, [
    "2023-11-14T22:13:20.000000Z",
    "2023-11-14T22:13:20.000001Z",
    "2023-11-14T22:13:20.000002Z",
    "2023-11-14T22:13:20.001000Z",
  ]);
});

test("ids are of 128 bits and differ, on pages without TLS too", () => {
  const made = Array.from({ length: 1_000 }, newId);
  const withTls = crypto.randomUUID;
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  const more = Array.from({ length: 1_000 }, newId);
  Object.defineProperty(crypto, "randomUUID", { value: withTls, configurable: true });
  assert.ok(more.every((id) => /^[0-9a-f]{32}$/.test(id)));
  assert.equal(new Set([...made, ...more]).size, 2_000);
});
