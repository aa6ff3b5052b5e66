/** What a tool call gave: text, JSON made readable, images and documents, files that it made. */

import { AttachmentsView } from "./attachment.js";
import { attachmentsOf, plain } from "./content.js";
import { element } from "./element.js";
import { Folded } from "./folded.js";
import { words } from "./language.js";
import { madeFile } from "./made.js";
import { countOf } from "./words.js";

/** @typedef {NonNullable<import("../turnwire/fold.js").ToolBlock["result"]>} Result */

const SHORT_LINES = 8;
const SHORT_CHARACTERS = 320;

export class ResultView {
  /** @type {Result | undefined} */
  #result;

  /**
   * @param {import("./files.js").Files} files
   * @param {import("./made.js").FetchFile} fetchFile
   */
  constructor(files, fetchFile) {
    this.fetchFile = fetchFile;
    this.text = element("div", {});
    this.attachments = new AttachmentsView(files);
    this.made = element("div", { class: "made", hidden: true });
    this.element = element("div", { class: "tool-result" }, this.text, this.attachments.element, this.made);
  }

  /** @param {Result | undefined} result */
  update(result) {
    if (result === this.#result) return;
    this.#result = result;
    const attachments = attachmentsOf(result?.content);
    this.attachments.update(attachments);
    const text = readable(plain(result?.content));
    const made = result?.files ?? [];
    this.made.replaceChildren(...made.map((id, index) => madeFile(id, index + 1, this.fetchFile)));
    this.made.hidden = made.length === 0;
    const isSaid = result !== undefined && (text !== "" || attachments.length + made.length === 0);
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
