// A block that is not over, of which a part is settled: what stands for that part when the rest is read.
//
// A list goes on after the start of another list with one item, a table after its first two lines, a
// fence after the line that opens it: markdown-it is given that head and the rest. So an update of a
// long list, table or code block costs as much as its last item, row or line. No DOM here.

import { blockTokens } from "./grammar.js";

/** @typedef {import("markdown-it").Token} Token */
/** @typedef {import("./blocks.js").Block} Block */
/** @typedef {import("./blocks.js").Lines} Lines */
/** @typedef {import("./mount.js").ElementSpec} ElementSpec */
/** @typedef {import("./mount.js").Mount} Mount */
/** @typedef {import("./mount.js").Spec} Spec */
/**
 * A step: the block up to `line` is settled, that is `count` more of its items or rows, or characters
 * of its code, of these tokens. `isOver`: there the block ends.
 * @typedef {{resumed: Resumed, line: number, count: number, tokens: Token[], isOver?: boolean}} Step
 */

const MAX_FILLED = 65_536; // cells with which markdown-it fills up the short rows of one table

const TIGHT = { class: "tight" };

/** @param {Spec} spec an item @returns {boolean} */
const hasParagraph = (spec) =>
  typeof spec !== "string"
  && spec.children.some((child) =>
    typeof child !== "string" && (child.tag === "p" || (child.tag === "details" && hasParagraph(child))));

/** @param {ElementSpec} block @returns {Record<string, string>} */
const attributesOfCode = ({ children: [code] }) => (typeof code === "object" ? code.attributes : {});

/** @param {ElementSpec} block @returns {ElementSpec | undefined} */
function tableIn({ children: [frame] }) {
  const table = typeof frame === "object" ? frame.children[0] : undefined;
  return typeof table === "object" ? table : undefined;
}

/** What is resumed, and the text that stands for what is settled of it. */
export class Resumed {
  head = "";
  isLoose = false; // of a list, by what is settled
  hasParagraphs = false; // of a list, in what is settled: only then it is said to be tight
  filled = 0; // of a table: cells that its settled rows did not have
  /** @type {Record<string, string>} of a list, or of code */ attributes = {};

  /** @param {"list" | "table" | "fence"} kind */
  constructor(kind) {
    this.kind = kind;
  }

  /** The block as it is, made of what was read of the head and the rest. @param {Spec} read @returns {Spec} */
  restore(read) {
    if (typeof read === "string") return read;
    if (this.kind === "list") {
      const { start } = this.attributes;
      const items = read.children.slice(1);
      const isTight = !this.isLoose && read.attributes.class === "tight";
      const isSaid = isTight && (this.hasParagraphs || items.some(hasParagraph));
      return { ...read, attributes: { ...(start ? { start } : {}), ...(isSaid ? TIGHT : {}) }, children: items };
    }
    if (this.kind === "fence") {
      const children = read.children.map((code) => (typeof code === "string" ? code : { ...code, attributes: this.attributes }));
      return { ...read, children };
    }
    const table = tableIn(read);
    if (!table || table.children.length > 1) return read;
    table.children.push({ tag: "tbody", attributes: {}, children: [] });
    return read;
  }

  /** Its items or rows, of what `restore` gave. @param {Spec} block @returns {Spec[]} */
  parts(block) {
    if (typeof block === "string" || this.kind === "fence") return [];
    if (this.kind === "list") return block.children;
    const body = tableIn(block)?.children[1];
    return body === undefined || typeof body === "string" ? [] : body.children;
  }

  /** What shows those. @param {Mount} block @returns {Mount} */
  holder(block) {
    return this.kind === "table" ? block.children[0].children[0].children[1] : block;
  }
}

/**
 * What more of the last block is settled.
 * @param {Block} block @param {Spec | undefined} shown @param {Lines} lines
 * @param {Resumed | undefined} known its own @returns {Step | undefined}
 */
export function step(block, shown, lines, known) {
  // With its second line ended it can be no table's head.
  if (typeof shown !== "object" || (!known && block.line + 1 >= lines.ended)) return undefined;
  if (block.type === "fence") return stepFence(block, shown, lines, known);
  if (block.type === "table_open") return stepTable(block, lines, known);
  return /_list_open$/.test(block.type) ? stepList(block, shown, lines, known) : undefined;
}

/** @param {Block} block @param {ElementSpec} shown @param {Lines} lines @param {Resumed} [known] @returns {Step | undefined} */
function stepFence({ tokens: [{ content, map, markup }], line }, shown, lines, known) {
  const count = lines.ended - line - 1;
  // An ended fence has one line more; what comes behind it is another block.
  let length = 0;
  for (let i = 0; i < count && length >= 0; i += 1) length = content.indexOf("\n", length) + 1 || -1;
  const indent = lines.slice(line, line + 1).search(/[^ ]/);
  const isEnded = length < 0 || (map && content.split("\n").length < map[1] - map[0] - 1);
  if (count < 1 || isEnded) return undefined;
  const resumed = known ?? new Resumed("fence");
  if (!known) {
    // Without what is said of the language: with a bar in it the line might begin a table.
    resumed.head = `${" ".repeat(indent)}${markup}\n`;
    resumed.attributes = attributesOfCode(shown);
  }
  return { resumed, line: lines.ended, count: length, tokens: [] };
}

/** @param {Block} block @param {Lines} lines @param {Resumed} [known] @returns {Step | undefined} */
function stepTable({ tokens, line }, lines, known) {
  const columns = tokens.filter(({ type }) => type === "th_open").length;
  const all = tokens.filter(({ type, map }) => type === "tr_open" && map && map[1] <= lines.ended);
  const resumed = known ?? new Resumed("table");
  resumed.head ||= lines.slice(line, line + 2);
  let rows = 0;
  let isOver = false;
  for (const { map } of all.slice(1)) {
    const at = map?.[0] ?? 0;
    const filled = columns - cells(lines.slice(at, at + 1));
    isOver = resumed.filled + filled > MAX_FILLED;
    if (isOver) break;
    resumed.filled += filled;
    rows += 1;
  }
  if (rows < 1 && !isOver) return undefined;
  return { resumed, line: line + 2 + rows, count: rows, tokens: [], isOver };
}

/** @param {string} row @returns {number} */
function cells(row) {
  const parts = row.trim().split(/(?<!\\)\|/);
  if (parts[0] === "") parts.shift();
  if (parts[parts.length - 1] === "") parts.pop();
  return parts.length;
}

/** @param {Block} block @param {ElementSpec} shown @param {Lines} lines @param {Resumed} [known] @returns {Step | undefined} */
function stepList({ tokens, line }, shown, lines, known) {
  const items = tokens.filter(({ type, level }) => type === "list_item_open" && level === 1);
  const first = known ? 1 : 0;
  const last = items[items.length - 1].map?.[0] ?? 0;
  if (items.length - first < 2 || last >= lines.ended) return undefined;
  const resumed = known ?? new Resumed("list");
  if (!known) {
    // As far to the right as an item can be: what follows is its neighbour, never in it.
    resumed.head = `   ${shown.tag === "ol" ? "1" : ""}${tokens[0].markup} head\n`;
    resumed.attributes = shown.attributes;
  }
  // Up to the line with which the last item begins, all is certain.
  const text = resumed.head + lines.slice(known ? line + 1 : line, last + 1);
  if (!blockTokens(text, {}).some(({ type, level, hidden }) => type === "paragraph_open" && level === 2 && hidden)) {
    resumed.isLoose = true;
  }
  resumed.hasParagraphs ||= shown.children.slice(0, -1).some(hasParagraph);
  return { resumed, line: last, count: items.length - 1 - first, tokens: tokens.slice(0, tokens.indexOf(items[items.length - 1])) };
}
