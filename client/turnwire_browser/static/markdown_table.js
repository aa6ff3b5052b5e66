// GFM tables: rows to cells to DOM; it knows nothing of the blocks around a table.

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

/** @param {string[]} lines of which the second has the alignments @param {HTMLElement} table */
export function fillTable([header, delimiters, ...rows], table) {
  const aligns = cells(delimiters).map(alignment);
  const [head, body] = [makeElement("thead"), makeElement("tbody")];
  [header, ...rows].forEach((text, i) => {
    const texts = cells(text);
    const row = makeElement("tr");
    aligns.forEach((align, column) => {
      const cell = makeElement(i ? "td" : "th", { align });
      appendInline(texts[column] ?? "", cell);
      row.append(cell);
    });
    (i ? body : head).append(row);
  });
  table.append(head, ...(rows.length ? [body] : []));
}
