import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assigned, bucketOf, pointOf, type Declared } from "../src/buckets.js";

/** The same file that the platform is held to. */
const vectors: {
  points: { salt: string; layer: string; unit: string; bucket: number; point: number }[];
  experiments: Declared[];
  assignments: { unit: string; variants: Record<string, string> }[];
} = JSON.parse(readFileSync("../../tests/experiments/running/vectors.json", "utf8"));

test("buckets and points are the platform's", () => {
  assert.ok(vectors.points.length >= 20);
  for (const { salt, layer, unit, bucket, point } of vectors.points)
    assert.deepEqual([bucketOf(layer, unit), pointOf(salt, unit)], [bucket, point], unit);
});

test("variants are the platform's", () => {
  assert.ok(vectors.assignments.some(({ variants }) => variants["model"]));
  for (const { unit, variants } of vectors.assignments)
    assert.deepEqual(assigned(vectors.experiments, unit), variants, unit);
});

test("whom a running holdout holds takes no part, and all others take it", () => {
  const [one] = vectors.experiments;
  const rest: Declared = {
    ...{ key: "rest", layer: "rest", salt: "rest", variants: ["open", "held"], weights: [0.5, 0.5] },
    buckets: [[0, 10_000]],
  };
  const units = Array.from({ length: 200 }, (_, n) => `user:${n}`);
  const held = units.filter((unit) => assigned([rest], unit)["rest"] === "held");
  assert.ok(held.length > 60 && held.length < 140);
  for (const unit of units)
    assert.deepEqual(
      assigned([{ ...one!, holdouts: [rest] }], unit),
      held.includes(unit) ? {} : assigned([one!], unit),
      unit,
    );
});
