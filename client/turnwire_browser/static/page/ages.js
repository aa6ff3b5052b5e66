/** How long ago something was, in the groups of a list that is newest first; pure but for the language. */

import { spoken, words } from "./language.js";

const DAY_MILLISECONDS = 86_400_000;

/**
 * The name of the group that a moment belongs to: today, yesterday, the last days, else its month.
 *
 * @param {string} at RFC 3339
 * @param {Date} now
 */
export function ageOf(at, now) {
  const then = new Date(at);
  // Midnights, so that a change of the clock moves nothing into another day.
  const days = Math.round((midnight(now) - midnight(then)) / DAY_MILLISECONDS);
  if (days <= 0) return words.side.today;
  if (days === 1) return words.side.yesterday;
  if (days <= 7) return words.side.week;
  if (days <= 30) return words.side.month;
  return monthOf(then);
}

/** @param {Date} date */
function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** A formatter is costly to make. @type {Intl.DateTimeFormat | undefined} */
let months;

/** @param {Date} date */
function monthOf(date) {
  months ??= new Intl.DateTimeFormat(spoken, { month: "long", year: "numeric" });
  return months.format(date);
}
