/** Code in colours: highlight.js's classes, by lowlight, which gives a tree and no HTML. Loaded lazily. */

import { common, createLowlight } from "lowlight";

const lowlight = createLowlight(common);

/** @typedef {ReturnType<typeof lowlight.highlight>["children"][number]} Part */

/**
 * @param {string} code
 * @param {string} language as a fence names it
 * @returns {Node[] | undefined} none: nobody here knows the language
 */
export function coloured(code, language) {
  const name = language.toLowerCase();
  if (!lowlight.registered(name)) return undefined;
  return lowlight.highlight(name, code).children.flatMap(nodes);
}

/**
 * @param {Part} part
 * @returns {Node[]}
 */
function nodes(part) {
  if (part.type === "text") return [document.createTextNode(part.value)];
  if (part.type !== "element") return [];
  const names = part.properties.className;
  // Not by `element`, for the build: what three scripts share would be a file of its own.
  const span = document.createElement("span");
  span.className = Array.isArray(names) ? names.join(" ") : "";
  span.append(...part.children.flatMap(nodes));
  return [span];
}
