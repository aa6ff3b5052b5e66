// The delays between attempts to connect.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../../client/turnwire_browser/static/turnwire/backoff.js";

test("the bound doubles up to 15 seconds, and begins again after a reset", () => {
  const backoff = new Backoff(() => 1);
  assert.deepEqual(Array.from({ length: 7 }, () => backoff.next()), [0.5, 1, 2, 4, 8, 15, 15]);
  backoff.reset();
  assert.equal(backoff.next(), 0.5);
});

test("the jitter is full: anything between nothing and the bound", () => {
  const draws = [0, 0.25, 0.5];
  const backoff = new Backoff(() => draws.shift());
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [0, 0.25, 1]);
});

test("very many attempts do not overflow", () => {
  const backoff = new Backoff(() => 1);
  for (let attempt = 0; attempt < 2000; attempt += 1) backoff.next();
  assert.equal(backoff.next(), 15);
});
