// How long ago a conversation was, in the groups of the side bar.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ageOf } from "../../client/turnwire_browser/static/page/ages.js";

/** @param {number} day @param {number} [hour] local time in March 2026, in which many clocks change */
const at = (day, hour = 12) => new Date(2026, 2, day, hour).toISOString();

test("ages are by the reader's midnights", () => {
  const now = new Date(2026, 2, 31, 0, 30);
  assert.equal(ageOf(at(31, 0), now), "Today");
  assert.equal(ageOf(at(32), now), "Today");
  assert.equal(ageOf(at(30, 23), now), "Yesterday");
  assert.equal(ageOf(at(29, 23), now), "Last 7 days");
  assert.equal(ageOf(at(24), now), "Last 7 days");
  assert.equal(ageOf(at(23), now), "Last 30 days");
  assert.equal(ageOf(at(1), now), "Last 30 days");
  assert.equal(ageOf(at(0), now), "February 2026");
});
