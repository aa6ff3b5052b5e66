// Rules for the HTML that people write in Markdown: a closed list of tags, without attributes.
//
// `<br>`, and `<sub>`, `<sup>`, `<kbd>` with their end in the same text; `<details>`, `<summary>` with
// its end, and `</details>` on a line of their own, with Markdown between. All else stays text.

/** @typedef {import("markdown-it").MarkdownIt} MarkdownIt */
/** @typedef {import("markdown-it").StateBlock} StateBlock */
/** @typedef {import("markdown-it").StateInline} StateInline */

const INLINE = /<(?:(br)\s*\/?|(sub|sup|kbd))>/iy;
const OPEN = /^<details(?:\s+open)?>\s*(?:<summary>(.*)<\/summary>)?\s*$/i;
const SUMMARY = /^<summary>(.*)<\/summary>\s*$/i;
const CLOSE = /^<\/details>\s*$/i;

/** @param {StateInline} state @param {boolean} silent @returns {boolean} */
function inlineRule(state, silent) {
  const { src, pos, posMax } = state;
  if (src.charCodeAt(pos) !== 0x3c) return false;
  INLINE.lastIndex = pos;
  const found = INLINE.exec(src);
  if (!found) return false;
  const start = pos + found[0].length;
  if (found[1]) {
    if (!silent) state.push("hardbreak", "br", 0);
    state.pos = start;
    return start <= posMax;
  }
  const tag = found[2].toLowerCase();
  const length = src.slice(start, posMax).search(new RegExp(`</${tag}>`, "i"));
  if (length < 0) return false;
  if (!silent) {
    state.pos = start;
    state.posMax = start + length;
    state.push(`${tag}_open`, tag, 1);
    state.md.inline.tokenize(state);
    state.push(`${tag}_close`, tag, -1);
  }
  state.pos = start + length + tag.length + 3;
  state.posMax = posMax;
  return true;
}

/**
 * @param {StateBlock} state @param {number} startLine @param {number} _endLine
 * @param {boolean} silent @returns {boolean}
 */
function blockRule(state, startLine, _endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const start = state.bMarks[startLine] + state.tShift[startLine];
  if (state.src.charCodeAt(start) !== 0x3c) return false;
  const text = state.src.slice(start, state.eMarks[startLine]);
  const [open, summary, close] = [OPEN.exec(text), SUMMARY.exec(text), CLOSE.test(text)];
  if (!open && !summary && !close) return false;
  if (silent) return true;
  state.line = startLine + 1;
  /** @type {[number, number]} */ const map = [startLine, startLine + 1];
  if (open || close) state.push(close ? "details_close" : "details_open", "details", 0).map = map;
  const words = summary?.[1] ?? open?.[1];
  if (words === undefined) return true;
  state.push("summary_open", "summary", 1).map = map;
  const token = state.push("inline", "", 0);
  token.content = words.trim();
  token.children = [];
  state.push("summary_close", "summary", -1);
  return true;
}

/**
 * A plugin. "details_open" and "details_close" are marks between blocks, which may lack their
 * counterpart: who makes elements of tokens looks after that.
 * @param {MarkdownIt} markdown
 */
export function tags(markdown) {
  const alt = ["paragraph", "reference", "blockquote"];
  markdown.block.ruler.before("fence", "tags", blockRule, { alt });
  markdown.inline.ruler.before("autolink", "tags", inlineRule);
}
