// Markdown (a CommonMark and GFM subset) to DOM, also while it streams; it knows nothing of the chat.
//
// Left out on purpose: reference links and setext headings (a later line would change a finished
// block or make it flicker), indented code (models indent by accident), relative URLs, HTML.

import { appendInline, decode } from "./markdown_inline.js";

/**
 * @typedef {object} Block
 * @property {string} tag of its element, "div" for the root: this is the kind of block
 * @property {number} end number of its last line
 * @property {Block[]} children
 * @property {string[]} lines the text of a leaf
 * @property {string} marker of a list: bullet or delimiter; of a fence: the run that opened it
 * @property {string} language of a fence
 * @property {number} indent of an item: columns before its content; of a fence: before its marker
 * @property {number} start an ordered list's first number
 * @property {boolean} loose whether a list has blank lines between its items or their blocks
 * @property {boolean} done
 * @property {HTMLElement} [node] what was built of it for good
 * @property {boolean} [tight] how `node` was built
 */
/** @typedef {(pre: HTMLElement) => void} Decorate */

const MAX_OPEN = 64; // open blocks; a list level takes two of them
const MAX_COLUMNS = 100; // short rows are filled up, so a wide header could multiply the input

const HEADING = /^#{1,6}(?=[ \t]|$)/;
const RULE = /^(?:\*{3,}|-{3,}|_{3,})$/;
const FENCE = /^(?:`{3,}(?=[^`]*$)|~{3,})/;
const FENCE_END = /^(?:`+|~+)$/;
const QUOTE = /^[ \t]*>/;
const ITEM = /^[ \t]*([-+*]|(\d{1,9})[.)])(?=[ \t]|$)/;
const DELIMITER = /^:?-+:?$/;

/** Every pattern is linear: the second looks at a run of blanks only once. @param {string} text */
const strip = (text) => text.replace(/^[ \t]+|(?<![ \t])[ \t]+$/g, "");

/** @param {string} row @returns {string[]} */
function cells(row) {
  const parts = strip(row).replace(/^\|/, "").split(/(?<!\\)\|/);
  if (parts.length > 1 && !parts[parts.length - 1]) parts.pop();
  return parts.map((part) => strip(part).replaceAll("\\|", "|"));
}

/** @param {Block} [block] */
const isList = (block) => block?.tag === "ul" || block?.tag === "ol";

/** What is left of a line; tabs reach to the next multiple of four columns. */
class Line {
  column = 0;

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  get blank() {
    return /^[ \t]*$/.test(this.text);
  }

  get indent() {
    return this.margin().columns;
  }

  /** The white space at the start, until it fills `limit` columns. */
  margin(limit = Infinity) {
    let [columns, length] = [0, 0];
    for (; columns < limit && /[ \t]/.test(this.text.charAt(length)); length += 1) {
      columns += this.text[length] === "\t" ? 4 - ((this.column + columns) % 4) : 1;
    }
    return { columns, length };
  }

  /** Takes that white space; what a tab has beyond it becomes blanks. @param {number} limit */
  skip(limit) {
    const { columns, length } = this.margin(limit);
    this.text = " ".repeat(Math.max(0, columns - limit)) + this.text.slice(length);
    this.column += Math.min(columns, limit);
  }

  /** Takes a marker after white space. @param {number} length of the marker */
  take(length) {
    this.skip(this.indent);
    this.text = this.text.slice(length);
    this.column += length;
  }
}

/** @param {Line} line @returns {boolean} whether a quote's marker was taken off */
function takeQuote(line) {
  if (line.indent > 3 || !QUOTE.test(line.text)) return false;
  line.take(1);
  line.skip(1);
  return true;
}

/** @param {Block} block @param {Line} line @returns {boolean} whether the line goes on inside it */
function continues({ tag, children, indent }, line) {
  if (tag === "blockquote") return takeQuote(line);
  if (tag !== "li" || (line.blank ? !children.length : line.indent < indent)) return false;
  line.skip(indent);
  return true;
}

/** The open blocks, line by line, as in the appendix of the CommonMark specification. */
class Parser {
  line = 0;
  matched = 0; // so many of the open blocks go on in this line
  /** @type {Block[]} the root and what is open in it; each is the last child of the one before */
  open = [];

  constructor() {
    this.push("div");
  }

  /** A parser to try an unfinished line on: copies what is open, shares what is done. */
  fork() {
    const copy = new Parser();
    copy.line = this.line;
    copy.open = this.open.map((block) => (
      { ...block, children: [...block.children], lines: [...block.lines] }
    ));
    copy.open.slice(1).forEach((block, i) => copy.open[i].children.splice(-1, 1, block));
    return copy;
  }

  /** @param {number} depth how many open blocks stay open */
  close(depth) {
    for (const block of this.open.splice(depth)) block.done = true;
  }

  /** Opens a block; what does not go on in this line ends. @param {string} tag @param {Partial<Block>} [fields] */
  push(tag, fields) {
    this.close(this.matched);
    if (tag !== "li" && isList(this.open[this.open.length - 1])) this.close(this.open.length - 1);
    const [parent, grandparent] = this.open.slice(-2).reverse();
    const last = parent?.children.at(-1);
    if (last && this.line - last.end > 1) (parent.tag === "li" ? grandparent : parent).loose = true;
    const block = {
      tag, end: this.line, children: [], lines: [], marker: "", language: "", indent: 0, start: 1,
      loose: false, done: false, ...fields,
    };
    parent?.children.push(block);
    this.matched = this.open.push(block);
  }

  /** Marks the outermost open blocks as reaching this line. */
  reach(depth = this.open.length) {
    for (const block of this.open.slice(0, depth)) block.end = this.line;
  }

  /** @param {string} text one line without its end */
  add(text) {
    const line = new Line(text);
    this.line += 1;
    this.matched = 1;
    while (this.matched < this.open.length && continues(this.open[this.matched], line)) {
      this.matched += 1;
    }
    const leaf = this.open[this.matched]; // or a container that ends, or nothing
    if (leaf?.tag === "pre") this.code(leaf, line);
    else if (line.blank) {
      this.close(this.matched);
      this.reach(this.open.map((block) => block.tag).lastIndexOf("blockquote") + 1);
    } else {
      if (leaf?.tag !== "p" || !this.table(leaf, line)) this.start(line);
      this.reach();
    }
  }

  /** @param {Block} fence @param {Line} line */
  code(fence, line) {
    const end = strip(line.text);
    this.reach();
    if (line.indent < 4 && end.startsWith(fence.marker) && FENCE_END.test(end)) {
      this.close(this.matched);
    } else {
      line.skip(fence.indent);
      fence.lines.push(line.text);
    }
  }

  /** Makes the paragraph's last line a table's header if this is a delimiter row. @param {Block} paragraph @param {Line} line */
  table(paragraph, line) {
    const header = paragraph.lines[paragraph.lines.length - 1];
    const columns = cells(line.text);
    if (line.indent > 3 || !header.includes("|") || columns.length > MAX_COLUMNS) return false;
    if (ITEM.test(line.text) || !columns.every((cell) => DELIMITER.test(cell))) return false;
    if (cells(header).length !== columns.length) return false;
    paragraph.lines.pop();
    if (paragraph.lines.length) this.push("table");
    else paragraph.tag = "table";
    this.open[this.open.length - 1].lines.push(header, line.text);
    return true;
  }

  /** Opens the blocks that begin on this line; what is left of it is text. @param {Line} line */
  start(line) {
    while (!line.blank && line.indent < 4 && (this.leaf(line) || this.container(line)));
    if (line.blank) return;
    const text = line.text.replace(/^[ \t]+/, "");
    const tip = this.open[this.open.length - 1];
    const continued = tip === this.open[this.matched];
    const lazy = this.matched < this.open.length && tip.tag === "p"; // its containers may not go on
    if (lazy || (continued && tip.tag === "table")) tip.lines.push(text);
    else this.push("p", { lines: [text] });
  }

  /** @param {Line} line @returns {boolean} whether it is a heading, a rule or a fence */
  leaf(line) {
    const text = strip(line.text);
    const fence = FENCE.exec(text)?.[0];
    const level = HEADING.exec(text)?.[0].length;
    if (fence) {
      const [language] = decode(strip(text.slice(fence.length))).split(/\s/);
      this.push("pre", { marker: fence, language, indent: line.indent });
    } else if (level) {
      const title = strip(text.slice(level)).replace(/(^|[ \t])#+$/, "");
      this.push(`h${level}`, { lines: [strip(title)] });
    } else if (RULE.test(text.replace(/[ \t]/g, ""))) {
      this.push("hr");
    } else return false;
    if (!fence) this.close(this.open.length - 1);
    line.text = "";
    return true;
  }

  /** @param {Line} line @returns {boolean} whether a quote or a list item begins */
  container(line) {
    if (this.matched >= MAX_OPEN) return false;
    const quote = takeQuote(line);
    if (quote) this.push("blockquote");
    return quote || this.item(line);
  }

  /** @param {Line} line */
  item(line) {
    const [found, marker, number = "1"] = ITEM.exec(line.text) ?? [];
    if (found === undefined) return false;
    const interrupts = this.open[this.matched]?.tag === "p";
    const empty = !strip(line.text.slice(found.length));
    if (interrupts && (empty || Number(number) !== 1)) return false;
    const { indent } = line;
    line.take(marker.length);
    const gap = line.blank || line.indent > 4 ? 1 : line.indent;
    line.skip(gap);
    const kind = marker.slice(-1);
    if (this.open[this.matched - 1].marker !== kind) {
      this.push(marker === kind ? "ul" : "ol", { marker: kind, start: Number(number) });
    }
    this.push("li", { indent: indent + marker.length + gap });
    return true;
  }
}

/** @param {string} delimiter a cell like `:-:` */
function alignment(delimiter) {
  const [left, right] = [delimiter.startsWith(":"), delimiter.endsWith(":")];
  return left && right ? "center" : right ? "right" : left ? "left" : "";
}

/** @param {string} text @param {"th" | "td"} tag @param {string[]} aligns one for each column */
function buildRow(text, tag, aligns) {
  const row = document.createElement("tr");
  const texts = cells(text);
  aligns.forEach((align, column) => {
    const cell = document.createElement(tag);
    if (align) cell.setAttribute("align", align);
    appendInline(texts[column] ?? "", cell);
    row.append(cell);
  });
  return row;
}

/** @param {string[]} lines @param {HTMLElement} table */
function fillTable([header, delimiters, ...rows], table) {
  const aligns = cells(delimiters).map(alignment);
  const [head, body] = [document.createElement("thead"), document.createElement("tbody")];
  head.append(buildRow(header, "th", aligns));
  for (const row of rows) body.append(buildRow(row, "td", aligns));
  table.append(head, ...(rows.length ? [body] : []));
}

/** @param {Block} fence */
const codeOf = (fence) => fence.lines.map((line) => `${line}\n`).join("");

/** @param {Block} fence @param {HTMLElement} pre */
function fillFence(fence, pre) {
  const code = document.createElement("code");
  if (fence.language) code.setAttribute("class", `language-${fence.language}`);
  code.append(document.createTextNode(codeOf(fence)));
  pre.append(code);
}

/**
 * @param {Block} block @param {Decorate} [decorate] @param {boolean} [tight] an item without <p>
 * @returns {HTMLElement}
 */
function build(block, decorate, tight = false) {
  if (block.node && block.tight === tight) return block.node;
  const { tag, start, children } = block;
  const element = document.createElement(tag);
  if (tag === "table") fillTable(block.lines, element);
  else if (tag === "pre") fillFence(block, element);
  else appendInline(strip(block.lines.join("\n")), element);
  if (tag === "pre") decorate?.(element);
  if (start !== 1) element.setAttribute("start", String(start));
  for (const child of children) {
    if (tight && child.tag === "p") appendInline(strip(child.lines.join("\n")), element);
    else element.append(build(child, decorate, isList(block) && !block.loose));
  }
  if (block.done) Object.assign(block, { node: element, tight });
  return element;
}

/**
 * Renders Markdown that arrives in pieces into `container`, whose children it replaces.
 *
 * Nodes of finished blocks are never touched again; only what is still open is built anew, and an
 * open fence only grows. `decorate` is called once for each new <pre>, before it is filled further;
 * it may append to it. After `end()` the content equals that of `render` of the whole text.
 * @param {HTMLElement} container
 * @param {{decorate?: Decorate}} [options]
 */
export function createStream(container, { decorate } = {}) {
  const parser = new Parser();
  const [root] = parser.open;
  let partial = ""; // the line that has not ended
  /** @type {HTMLElement[]} */ let tail = []; // what is not final
  /** @type {Text | null} */ let code = null; // the text of an open fence outside other blocks
  let shown = 0; // so many characters of `partial` are in it
  container.replaceChildren();

  /** Shows what is finished for good, and an open fence, which only grows from then on. */
  function settle() {
    for (const block of root.children) {
      if (code) {
        const fresh = codeOf(block);
        code.appendData(fresh.slice(shown));
        if (fresh) shown = 0;
      } else if (block.done || block.tag === "pre") {
        
      }
    }
  }
