/** The input of a tool call as a person reads it: names and values, all of them, nothing folded. */

import { element } from "./element.js";
import { words } from "./language.js";

/**
 * @param {Record<string, unknown>} input
 * @returns {HTMLElement}
 */
export function inputView(input) {
  const fields = Object.entries(input);
  if (fields.length === 0) return element("p", { class: "input-none" }, words.tool.noInput);
  const parts = fields.map(([name, value]) => {
    const { text, isJson } = formOf(value);
    const shape = isJson ? "input-json" : undefined;
    return element(
      "div",
      {},
      element("dt", { dir: "auto" }, name),
      element("dd", { dir: "auto", class: shape }, text),
    );
  });
  return element("dl", { class: "input", tabindex: 0, "aria-label": words.tool.input }, ...parts);
}

/**
 * A value as text: lists of words and numbers one below the other, what is nested as JSON.
 *
 * @param {unknown} value
 */
export function formOf(value) {
  if (value === "" || isEmptyList(value)) return { text: words.tool.empty, isJson: false };
  if (isPlain(value)) return { text: String(value), isJson: false };
  if (Array.isArray(value) && value.every(isLine)) {
    return { text: value.map(String).join("\n"), isJson: false };
  }
  return { text: JSON.stringify(value, null, 2), isJson: true };
}

/** @param {unknown} value */
function isPlain(value) {
  return typeof value !== "object" || value === null;
}

/** @param {unknown} value */
function isLine(value) {
  return isPlain(value) && !String(value).includes("\n");
}

/** @param {unknown} value */
function isEmptyList(value) {
  return Array.isArray(value) && value.length === 0;
}
