/** What the user has said, as it is shown: Markdown where there is some, otherwise as it was written. */

import { element } from "./element.js";
import { showProse } from "./prose.js";

/** Without one of these the text means itself; most messages do. */
const MAY_BE_MARKDOWN = /[\\`*_~#<>[\]|$]|^\s*(?:[-+]|\d+[.)])\s/m;

/**
 * @param {string} text
 * @returns {(Node | string)[]} what goes into the bubble
 */
export function saying(text) {
  if (!MAY_BE_MARKDOWN.test(text)) return [text];
  const prose = element("div", { class: "prose", dir: "auto" });
  showProse(text, prose);
  return [prose];
}

/** @param {string} text */
export function bubbleOf(text) {
  return element("div", { class: "bubble", dir: "auto", hidden: !text }, ...saying(text));
}
