/** The input of a tool call as a person reads it: names and values, all of them, nothing folded. */

import { element } from "./element.js";

/**
 * @param {Record<string, unknown>} input
 * @returns {HTMLElement}
 */
export function inputView(input) {
  const fields = Object.entries(input);
  if (fields.length === 0) return element("p", { class: "input-none" }, "Without input");
  return element(
    "dl",
    { class: "input", tabindex: 0, "aria-label": "Input" },
    ...fields.map(([name, value]) =>
      element(
        "div",
        {},
        element("dt", { dir: "auto" }, name),
        element("dd", { dir: "auto", class: typeof value === "string" ? "" : "input-json" }, shown(value)),
      ),
    ),
  );
}

/** @param {unknown} value */
function shown(value) {
  if (value === "") return "(empty)";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
