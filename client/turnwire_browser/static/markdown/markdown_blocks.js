// The blocks of a Markdown text, line by line; it knows neither DOM nor what is inside a line.
//
// Left out on purpose: reference links and setext headings (a later line would change a finished
// block or make it flicker), indented code (models indent by accident), relative URLs, HTML.

import { beginsTable } from "./markdown_table.js";
import { decode } from "./markdown_tokens.js";

/**
 * The `tag` of its element ("div": the root) is a block's kind; a leaf has its text in `lines`.
 * `marker`: bullet or delimiter of a list, the run that opened a fence. `indent`: columns before an
 * item's content or a fence's marker. `final`: so many of the children stay as they are.
 * @typedef {{tag: string, attributes: Record<string, string>, children: Block[], lines: string[],
 *   marker: string, indent: number, loose: boolean, final: number}} Block
 */

const MAX_OPEN = 64; // open blocks; a list level takes two of them

const HEADING = /^#{1,6}(?=[ \t]|$)/;
const RULE = /^(?=([*_-])(?:[ \t]*\1){2})(?:[* \t]+|[- \t]+|[_ \t]+)$/;
const FENCE = /^(?:`{3,}(?=[^`]*$)|~{3,})/;
const FENCE_MAY_END = /^\s*[`~]*\s*$/; // as the start of a line
const QUOTE = /^[ \t]*>/;
const ITEM = /^[ \t]*([-+*]|(\d{1,9})[.)])(?=[ \t]|$)/;

/** @param {string} text @returns {number} columns of white space; a tab fills up to four */
const indentOf = (text) =>
  text.slice(0, text.search(/[^ \t]|$/)).replace(/ {4}| {0,3}\t/g, "    ").length;

/** @param {string} text @param {number} columns of white space to take @returns {string} */
function dedent(text, columns) {
  if (columns <= 0 || !/^[ \t]/.test(text)) return text;
  const left = columns - (text[0] === "\t" ? 4 : 1);
  return left < 0 ? " ".repeat(-left) + text.slice(1) : dedent(text.slice(1), left);
}

/** @param {Block} [block] */
export const isList = (block) => block?.tag === "ul" || block?.tag === "ol";

/** The open blocks, line by line, as in the appendix of the CommonMark specification. */
export class Parser {
  rest = ""; // what is left of the line
  isPartial = false; // whether more of the line may come
  matched = 0; // so many of the open blocks go on in this line
  gap = Infinity; // open blocks from this one on have a blank line before this line
  /** @type {Block[]} the root and what is open in it; each is the last child of the one before */
  open = [];

  constructor() {
    this.push("div");
  }

  get tip() {
    return this.open[this.open.length - 1];
  }

  get root() {
    return this.open[0];
  }

  /** Marks what is final. @returns {() => void} undoes what `add` does from now on */
  mark() {
    const { gap, open } = this;
    const marks = open.map((block, i) => {
      const { tag, loose, children, lines } = block;
      block.final = children.length - (i + 1 < open.length ? 1 : 0);
      const last = lines.slice(-1);
      return { tag, loose, children: children.length, lines: lines.length - last.length, last };
    });
    this.open = [...open];
    return () => {
      Object.assign(this, { gap, open });
      marks.forEach(({ tag, loose, children, lines, last }, i) => {
        const block = Object.assign(open[i], { tag, loose });
        block.children.length = children;
        block.lines.splice(lines, Infinity, ...last);
      });
    };
  }

  /** @param {number} depth how many open blocks stay open */
  close(depth) {
    this.open.splice(depth);
  }

  /** Ends what does not go on. @param {string} tag @param {Partial<Block>} [fields] */
  push(tag, fields) {
    this.close(this.matched);
    if (tag !== "li" && isList(this.tip)) this.close(this.open.length - 1);
    const { tip: parent, open } = this;
    if (open.length > this.gap && parent.children.length) {
      (parent.tag === "li" ? open[open.length - 2] : parent).loose = true;
    }
    /** @type {Block} */
    const block = {
      tag, attributes: {}, children: [], lines: [], marker: "", indent: 0,
      loose: false, final: 0, ...fields,
    };
    parent?.children.push(block);
    this.matched = open.push(block);
  }

  /** @param {string} text one line without its end @param {boolean} [isPartial] more of it may come */
  add(text, isPartial = false) {
    this.rest = text;
    this.isPartial = isPartial;
    this.matched = 1;
    while (this.matched < this.open.length && this.continues(this.open[this.matched])) {
      this.matched += 1;
    }
    const leaf = this.open[this.matched]; // or a container that ends, or nothing
    if (leaf?.tag !== "pre" && !this.rest.trim()) {
      this.close(this.matched);
      this.gap = Math.max(0, this.open.map((block) => block.tag).lastIndexOf("blockquote"));
      return;
    }
    if (leaf?.tag === "pre") this.addCode(leaf);
    else if (leaf?.tag !== "p" || !this.addTable(leaf)) this.addText();
    this.gap = Infinity;
  }

  /** Takes a container's part of the line. @param {Block} block @returns {boolean} if it has one */
  continues(block) {
    if (isList(block)) return true;
    if (block.tag === "blockquote") return this.takeQuote();
    if (block.tag !== "li") return false;
    const within = this.rest.trim() ? indentOf(this.rest) >= block.indent : block.children.length;
    if (!within) return false;
    this.rest = dedent(this.rest, block.indent);
    return true;
  }

  takeQuote() {
    const marker = indentOf(this.rest) < 4 && QUOTE.exec(this.rest);
    if (marker) this.rest = dedent(this.rest.slice(marker[0].length), 1);
    return Boolean(marker);
  }

  /** @param {Block} fence */
  addCode(fence) {
    if (this.isPartial) {
      if (!FENCE_MAY_END.test(this.rest)) fence.lines.push(dedent(this.rest, fence.indent));
      return;
    }
    const end = this.rest.trim();
    const marks = end.startsWith(fence.marker) && !end.replaceAll(fence.marker[0], "");
    if (marks && indentOf(this.rest) < 4) this.close(this.matched);
    else fence.lines.push(`${dedent(this.rest, fence.indent)}\n`);
  }

  /** Makes its last line a header if this is a table's second row. @param {Block} paragraph */
  addTable(paragraph) {
    const header = paragraph.lines[paragraph.lines.length - 1];
    if (indentOf(this.rest) > 3 || !beginsTable(header, this.rest)) return false;
    paragraph.lines.pop();
    if (paragraph.lines.length) this.push("table");
    else paragraph.tag = "table";
    this.tip.lines.push(header, this.rest);
    return true;
  }

  /** Opens the blocks that begin on this line; what is left of it is text. */
  addText() {
    while (indentOf(this.rest) < 4 && (this.startLeaf() || this.startContainer()));
    if (!this.rest.trim()) return;
    const text = this.rest.trimStart();
    const { tip } = this;
    const continued = tip.tag === "table" && tip === this.open[this.matched];
    const lazy = tip.tag === "p" && this.matched < this.open.length; // even if its containers end
    if (continued || lazy) tip.lines.push(text);
    else this.push("p", { lines: [text] });
  }

  /** @returns {boolean} whether the rest was a heading, a rule or a fence */
  startLeaf() {
    const text = this.rest.trim();
    const fence = FENCE.exec(text)?.[0];
    const level = HEADING.exec(text)?.[0].length;
    if (fence) {
      const [language] = decode(text.slice(fence.length).trim()).split(/\s/);
      const attributes = { class: language && `language-${language}` };
      this.push("pre", { marker: fence, indent: indentOf(this.rest), attributes });
    } else if (level) {
      const title = text.slice(level).trim().replace(/(^|[ \t])#+$/, "");
      this.push(`h${level}`, { lines: [title] });
    } else if (RULE.test(text)) {
      this.push("hr");
    } else return false;
    if (!fence) this.close(this.open.length - 1);
    this.rest = "";
    return true;
  }

  /** @returns {boolean} whether a quote or a list item begins */
  startContainer() {
    if (this.matched >= MAX_OPEN) return false;
    if (this.takeQuote()) {
      this.push("blockquote");
      return true;
    }
    const found = ITEM.exec(this.rest);
    if (!found) return false;
    const [{ length }, marker, number = "1"] = found;
    const content = this.rest.slice(length);
    const empty = !content.trim();
    if (this.open[this.matched]?.tag === "p" && (empty || Number(number) !== 1)) return false;
    const gap = indentOf(" ".repeat(length) + content) - length; // a tab's depends on its place
    const taken = gap > 4 || empty ? 1 : gap;
    const kind = marker.slice(-1);
    if (this.open[this.matched - 1].marker !== kind) {
      const attributes = { start: Number(number) === 1 ? "" : String(Number(number)) };
      this.push(kind === marker ? "ul" : "ol", { marker: kind, attributes });
    }
    this.push("li", { indent: length + taken });
    this.rest = empty ? "" : " ".repeat(gap - taken) + content.trimStart();
    return true;
  }
}
