/** What a tool call gave: text, JSON made readable, images and documents. */

import { AttachmentsView } from "./attachment.js";
import { attachmentsOf, plain } from "./content.js";
import { element } from "./element.js";
import { Folded } from "./folded.js";
import { words } from "./language.js";
import { countOf } from "./words.js";

/** @typedef {NonNullable<import("../turnwire/fold.js").ToolBlock["result"]>} Result */

const SHORT_LINES = 8;
const SHORT_CHARACTERS = 320;

export class ResultView {
  /** @type {Result | undefined} */
  #result;

  /** @param {import("./files.js").Files} files */
  constructor(files) {
    this.text = element("div", {});
    this.attachments = new AttachmentsView(files);
    this.element = element("div", { class: "tool-result" }, this.text, this.attachments.element);
  }

  /** @param {Result | undefined} result */
  update(result) {
    if (result === this.#result) return;
    this.#result = result;
    const attachments = attachmentsOf(result?.content);
    this.attachments.update(attachments);
    const text = readable(plain(result?.content));
    const isSaid = result !== undefined && (text !== "" || attachments.length === 0);
    this.text.replaceChildren(...(isSaid ? [textView(text)] : []));
  }

  remove() {
    this.attachments.remove();
  }
}

/** @param {string} text */
function textView(text) {
  const lines = text.split("\n").length;
  if (lines <= SHORT_LINES && text.length <= SHORT_CHARACTERS) {
    return element("pre", { class: "tool-text", dir: "auto" }, text || words.tool.empty);
  }
  const size = lines > 1 ? words.files.lines(countOf(lines)) : words.files.characters(countOf(text.length));
  return new Folded(words.tool.result(size), () => text).element;
}

/**
 * The text; pretty-printed where it is a JSON object or array.
 *
 * @param {string} text
 */
export function readable(text) {
  // A number too long for JavaScript would be shown as another.
  if (!/^\s*[[{]/.test(text) || /\d{16}/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
