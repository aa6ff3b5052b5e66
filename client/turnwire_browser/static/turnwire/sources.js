// What an answer cites: its sources, numbered in the order in which they are first cited; pure.
//
// PROTOCOL.md "Sources"; the conformance vectors tie it to the Python package.

/** @import { Citation } from "./messages.js" */
/** @typedef {{number: number, title: string, url?: string}} Source a page or document that an answer cites, once however often */

/** The sources of one answer. */
export class Sources {
  /** @type {Map<string, Source>} */
  #sources = new Map();

  /** @returns {Source[]} by their number, from 1 */
  get list() {
    return [...this.#sources.values()];
  }

  /**
   * The numbers of a block's sources, each once, in the order of its citations.
   * @param {ReadonlyArray<Citation> | undefined} citations
   * @returns {number[]}
   */
  numbers(citations = []) {
    return [...new Set(citations.map((citation) => this.#number(citation)))];
  }

  /** @param {Citation} citation */
  #number({ url, title, document, cited_text }) {
    const key = JSON.stringify(url === undefined ? [null, document, title] : [url]);
    let source = this.#sources.get(key);
    if (!source) {
      source = { number: this.#sources.size + 1, title: title || url || (cited_text ?? ""), ...(url === undefined ? {} : { url }) };
      this.#sources.set(key, source);
    }
    return source.number;
  }
}

/**
 * The text of a block with a mark for each of its sources, before the white space at its end.
 * @param {string} text
 * @param {readonly number[]} numbers
 * @param {(number: number) => string} [mark] a note of Markdown, unless another is given
 * @returns {string}
 */
export function noted(text, numbers, mark = (number) => `[^source-${number}]`) {
  if (numbers.length === 0) return text;
  let end = text.length;
  while (end > 0 && " \t\r\n".includes(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end) + numbers.map(mark).join("") + text.slice(end);
}
