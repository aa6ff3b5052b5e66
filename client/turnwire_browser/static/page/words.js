/** Numbers, durations, error codes and ends of answers, in the words of the page's language; pure but for which that is. */

import { words } from "./language.js";

/** @typedef {import("./languages/en.js").Explanation} Explanation */

/**
 * An error code in words; a code nobody knows here is explained by the server's own message.
 *
 * @param {string | undefined} code
 * @param {string} [message]
 * @returns {Explanation}
 */
export function explain(code, message) {
  const known = code === undefined ? undefined : words.failures[code];
  // Which limit it is, and until when, only the server knows.
  if (known && code === "too_many" && message) return { title: known.title, remedy: sentence(message) };
  return known ?? { title: message || words.failure.unknown, remedy: "" };
}

/**
 * A server's message as a sentence.
 *
 * @param {string} message
 */
function sentence(message) {
  const first = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/**
 * What keeps Claude, while the server waits to try again.
 *
 * @param {string} code
 */
export function retryCause(code) {
  if (code === "rate_limit" || code === "overloaded") return words.retry.busy;
  if (code === "network_error" || code === "timeout") return words.retry.broke;
  return words.retry.failed;
}

/**
 * How an answer ended, where that deserves a mark; undefined for an ordinary end. A reason nobody
 * knows here is told as it is.
 *
 * @param {string} stopReason
 * @param {boolean} hasBegun whether the turn has been running at all
 * @returns {Explanation | undefined}
 */
export function ending(stopReason, hasBegun) {
  if (!hasBegun) return words.failure.notAnswered;
  if (stopReason in words.endings) return words.endings[stopReason];
  return { title: words.failure.ended(stopReason), remedy: "" };
}

/**
 * Why the model refused, in words: the area, as far as this page knows it, and what the provider says.
 *
 * @param {{category?: string, explanation?: string}} refusal
 */
export function declined({ category, explanation = "" }) {
  const { areas, area } = words.declined;
  return [category && area(areas[category] ?? category), explanation].filter(Boolean).join(" ");
}

/** @param {number} count */
export function countOf(count) {
  // Not `toLocaleString`: the first one takes the browser 10 ms, in the frame that ends an answer.
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, words.numbers.group);
}

/**
 * @param {number} value
 * @param {number} digits after the decimal point
 */
function decimal(value, digits) {
  return value.toFixed(digits).replace(".", words.numbers.decimal);
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 1) return words.units.milliseconds(String(Math.max(1, Math.round(milliseconds))));
  if (seconds < 9.95) return words.units.seconds(decimal(seconds, 1));
  if (seconds < 59.5) return words.units.seconds(String(Math.round(seconds)));
  const whole = Math.round(seconds);
  return words.units.minutes(Math.floor(whole / 60), whole % 60);
}

/**
 * How long somebody has to answer.
 *
 * @param {number} seconds
 */
export function timeLeft(seconds) {
  if (seconds <= 0) return "";
  const ticking = String(seconds % 60).padStart(2, "0");
  return seconds < 6000 ? words.units.left(`${Math.floor(seconds / 60)}:${ticking}`) : "";
}

/** @param {number} bytes */
export function fileSize(bytes) {
  if (bytes < 1000) return words.units.bytes(String(bytes));
  if (bytes < 999_500) return `${Math.round(bytes / 1000)} kB`;
  return `${decimal(bytes / 1e6, 1)} MB`;
}

/** @param {number} usd */
export function cost(usd) {
  // Not `$0.0000`: it was not free.
  if (usd > 0 && usd < 0.0001) return `< $${decimal(0.0001, 4)}`;
  return `$${decimal(usd, usd < 0.01 ? 4 : 2)}`;
}

/**
 * The first words of a text, as a title of at most 60 characters.
 *
 * @param {string} text
 */
export function firstWords(text) {
  const line = text.slice(0, 400).replace(/\s+/g, " ").trim();
  if (line.length <= 60) return line;
  const cut = line.slice(0, 60);
  const space = cut.lastIndexOf(" ");
  return `${space > 30 ? cut.slice(0, space) : [...cut].slice(0, -1).join("")}…`;
}
