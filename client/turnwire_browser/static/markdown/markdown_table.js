// GFM tables: rows to cells to DOM, also as they grow; it knows nothing of the blocks around a table.

import { appendInline, makeElement } from "./markdown_inline.js";

const MAX_COLUMNS = 100; // short rows are filled up, so a wide header could multiply the input
const ALIGNMENTS = new Map([["-", ""], [":-", "left"], ["-:", "right"], [":-:", "center"]]);

/** @param {string} row @returns {string[]} */
function cells(row) {
  const parts = row.trim().replace(/^\|/, "").split(/(?<!\\)\|/);
  if (parts.length > 1 && !parts[parts.length - 1]) parts.pop();
  return parts.map((part) => part.trim().replaceAll("\\|", "|"));
}

/** @param {string} delimiter a cell like `:--:` @returns {string | undefined} */
const alignment = (delimiter) => ALIGNMENTS.get(delimiter.replace(/-+/, "-"));

/** Whether a table begins with these lines. @param {string} header @param {string} delimiters */
export function beginsTable(header, delimiters) {
  if (!header.includes("|") || /^\s*-\s/.test(delimiters)) return false; // `- ` begins a list
  const columns = cells(delimiters);
  if (columns.length > MAX_COLUMNS || columns.map(alignment).includes(undefined)) return false;
  return cells(header).length === columns.length;
}

/** The rows of a table, of which there are more and more. */
export class GrowingTable {
  /** @type {(string | undefined)[]} */ #aligns = [];
  #head = makeElement("thead");
  #body = makeElement("tbody");
  #table;
  #top = ""; // header and delimiters
  #count = 0; // of the lines that are shown
  #last = "";

  /** @param {HTMLElement} table */
  constructor(table) {
    this.#table = table;
  }

  /** Only the last line may differ. @param {string[]} lines the second has the alignments */
  update(lines) {
    const [header, delimiters] = lines;
    if (this.#top !== `${header}\n${delimiters}`) this.#begin(header, delimiters);
    const hadRows = this.#count > 2;
    if (hadRows && lines[this.#count - 1] !== this.#last) {
      this.#body.lastChild?.remove();
      this.#count -= 1;
    }
    while (this.#count < lines.length) this.#add(lines[this.#count++], "td", this.#body);
    this.#last = lines[lines.length - 1];
    const hasRows = this.#count > 2;
    if (hasRows && !hadRows) this.#table.append(this.#body);
    if (hadRows && !hasRows) this.#body.remove();
  }

  /** @param {string} header @param {string} delimiters */
  #begin(header, delimiters) {
    this.#top = `${header}\n${delimiters}`;
    this.#count = 2;
    this.#aligns = cells(delimiters).map(alignment);
    for (const part of [this.#head, this.#body]) part.replaceChildren();
    this.#body.remove();
    this.#add(header, "th", this.#head);
    this.#table.append(this.#head);
  }

  /** @param {string} text @param {string} tag @param {HTMLElement} part */
  #add(text, tag, part) {
    const texts = cells(text);
    const row = makeElement("tr");
    this.#aligns.forEach((align, column) => {
      const cell = makeElement(tag, { align });
      appendInline(texts[column] ?? "", cell);
      row.append(cell);
    });
    part.append(row);
  }
}
