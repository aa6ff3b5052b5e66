// Inline Markdown to DOM, also as it grows; it knows nothing of blocks.
//
// Text reaches the page only through createElement, text nodes and checked URLs: raw HTML is text.
// An image becomes a link: fetching it would tell its server what a prompt made the model write.

import { Scanner } from "./markdown_tokens.js";

/** @typedef {import("./markdown_tokens.js").Spec} Spec */
/** @typedef {import("./markdown_tokens.js").Token} Token */

const MAX_NESTED = 32; // deeper elements show without their formatting
const LINK = { rel: "noopener noreferrer", target: "_blank" };

/** @param {string} tag @param {Record<string, string | undefined>} [attributes] empty: left out */
export function makeElement(tag, attributes = {}) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value) element.setAttribute(name, value);
  }
  return element;
}

/**
 * Makes an element inside the innermost one; or returns that, where links or too many would nest.
 * @param {Spec} spec @param {HTMLElement[]} path
 */
function enter({ tag, href, title }, path) {
  const outer = path[path.length - 1];
  if (path.length > MAX_NESTED) return outer;
  if (href && path.some((element) => element.tagName === "A")) return outer;
  const element = makeElement(tag, href ? { href, ...LINK, title } : {});
  outer.append(element);
  return element;
}

/** @param {Token[]} tokens @param {HTMLElement} parent */
function appendTokens(tokens, parent) {
  const path = [parent];
  let words = ""; // of neighbours, for one text node
  const flush = () => {
    if (words) path[path.length - 1].append(words);
    words = "";
  };
  for (const { close, text, leaf, open } of tokens) {
    if (close || leaf) flush();
    path.length -= close;
    if (!leaf) words += text;
    else if (text) enter(leaf, path).append(text);
    else enter(leaf, path);
    if (open.length) flush();
    for (const spec of open) path.push(enter(spec, path));
  }
  flush();
}

/** Adds a text's formatted content to `parent`. @param {string} text @param {HTMLElement} parent */
export function appendInline(text, parent) {
  appendTokens(new Scanner(text).tokens, parent);
}

/**
 * The formatted content of lines that grow, as the last nodes in an element. What is settled keeps
 * its nodes and is not read again; the few words after it are made anew.
 */
export class GrowingInline {
  #parent;
  /** @type {ChildNode | null} the last node that is not ours */
  #before;
  /** @type {ChildNode | null} the last one that is settled */
  #settled;
  #lines = 0; // settled: so many lines,
  #start = ""; // and this start of the next
  #count = 0;
  #last = ""; // of the lines that are shown

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.#parent = parent;
    this.#before = this.#settled = parent.lastChild;
  }

  /** @param {string[]} lines @returns {boolean} whether an update would change nothing */
  shows(lines) {
    return lines.length === this.#count && lines[lines.length - 1] === this.#last;
  }

  /**
   * Only the last lines may differ from those before. With nodes behind ours it must show them.
   * @param {string[]} lines
   */
  update(lines) {
    if (this.shows(lines)) return;
    if (lines[this.#lines]?.slice(0, this.#start.length) !== this.#start) this.remove();
    this.#cut(this.#settled);
    let text = lines.slice(this.#lines).join("\n").slice(this.#start.length).trimEnd();
    let scanner = new Scanner(text);
    const settled = scanner.settled();
    if (settled) {
      appendInline(text.slice(0, settled), this.#parent);
      this.#settled = this.#parent.lastChild;
      const parts = text.slice(0, settled).split("\n");
      const length = parts[parts.length - 1].length + (parts.length > 1 ? 0 : this.#start.length);
      this.#lines += parts.length - 1;
      this.#start = lines[this.#lines].slice(0, length);
      text = text.slice(settled);
      scanner = new Scanner(text);
    }
    appendTokens(scanner.tokens, this.#parent);
    this.#count = lines.length;
    this.#last = lines[lines.length - 1] ?? "";
  }

  /** Takes all of it off. */
  remove() {
    this.#cut(this.#before);
    this.#settled = this.#before;
    this.#lines = this.#count = 0;
    this.#start = this.#last = "";
  }

  /** @param {ChildNode | null} end after which nothing stays */
  #cut(end) {
    for (let node = this.#parent.lastChild; node && node !== end; node = this.#parent.lastChild) {
      node.remove();
    }
  }
}
