// The blocks of a text, and from which of them on more text may still change something; no DOM.

import { blockTokens } from "./grammar.js";

/** @typedef {import("markdown-it").Env} Env */
/** @typedef {import("markdown-it").Token} Token */
/** @typedef {{tokens: Token[], type: string, line: number, end: number}} Block lines from 0 */

/** Lines of a text and where they begin. */
export class Lines {
  /** @type {number[]} */ #starts = [0];

  /** @param {string} text */
  constructor(text) {
    this.text = text;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
  }

  /** How many have ended; that is the number of the one that has not. */
  get ended() {
    return this.#starts.length - 1;
  }

  /** @param {number} line @returns {number} */
  start(line) {
    return this.#starts[line] ?? this.text.length;
  }

  /** @param {number} from @param {number} [to] @returns {string} with their ends */
  slice(from, to = this.#starts.length) {
    return this.text.slice(this.start(from), this.start(to));
  }

  /** @param {number} line @returns {number} the first one from there on that is not blank */
  skipBlank(line) {
    while (line < this.ended && this.isBlank(line)) line += 1;
    return line;
  }

  /** @param {number} line */
  isBlank(line) {
    return /^[ \t]*\n?$/.test(this.slice(line, line + 1));
  }
}

/** @param {Lines} lines @param {Env} env @returns {Block[]} what is in <details> is one */
export function blocksOf(lines, env) {
  /** @type {Block[]} */ const blocks = [];
  let details = 0;
  let isOpen = false;
  for (const token of blockTokens(lines.text, env)) {
    const { type, nesting, level, map } = token;
    let last = blocks[blocks.length - 1];
    if (!isOpen) {
      // A note's definition has no map: it begins where what is before it has ended.
      const line = lines.skipBlank(last?.end ?? 0);
      last = { tokens: [], type, line, end: line + 1 };
      blocks.push(last);
    }
    last.tokens.push(token);
    if (map) last.end = Math.max(last.end, map[1]);
    // Those in a list or a quotation end with it.
    if (type === "details_open" && level === 0) details += 1;
    if (type === "details_close" && level === 0 && details > 0) details -= 1;
    isOpen = details > 0 || level > 0 || nesting > 0;
  }
  return blocks;
}

/**
 * How many blocks are settled: no text that may follow can change them. They are those before a block
 * of which it is certain that it begins there.
 * @param {Block[]} blocks @param {Lines} lines @returns {number}
 */
export function settled(blocks, lines) {
  let count = blocks.length - 1;
  while (count > 0 && !isCertain(blocks, count, lines)) count -= 1;
  return Math.max(0, count);
}

/** @param {Block[]} blocks @param {number} index @param {Lines} lines */
function isCertain(blocks, index, lines) {
  const { type, line } = blocks[index];
  // Words behind a blank line, not indented, belong to nothing before. Else the first line may yet read differently,
  if (line >= lines.ended) return lines.isBlank(line - 1) && /^\p{L}/u.test(lines.slice(line));
  if (type === "table_open" && line + 1 >= lines.ended) return false; // or that with the alignments
  return !mayBeTitle(blocks, index, lines);
}

/**
 * Whether it may turn out to be in the title of a link's target, which has not ended: `[a]: /b "c`, and
 * more lines, but no blank one.
 * @param {Block[]} blocks @param {number} index @param {Lines} lines
 */
function mayBeTitle(blocks, index, lines) {
  for (let i = index; i > 0 && !lines.isBlank(blocks[i].line - 1); i -= 1) {
    const before = blocks[i - 1];
    if (before.type === "reference_definition") {
      if (/^[ \t]*["'(]/.test(lines.slice(blocks[i].line))) return true;
    } else if (/^(?:paragraph|heading)_open$/.test(before.type) && /^ *\[/.test(lines.slice(before.line))) return true;
  }
  return false;
}
