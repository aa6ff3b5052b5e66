// Rules for mathematics: `$…$`, `$$…$$`, `\(…\)`, `\[…\]` in a line, `$$` and `\[` as blocks.
//
// What they find is kept as it is written, for somebody who reads TeX. Money stays text: a `$` opens
// before something, closes behind something and not before a digit, as in Pandoc's Markdown. A block
// is decided by its first line alone, so what comes later cannot undo it.

/** @typedef {import("markdown-it").MarkdownIt} MarkdownIt */
/** @typedef {import("markdown-it").StateBlock} StateBlock */
/** @typedef {import("markdown-it").StateInline} StateInline */

const INLINE = [
  { open: "$$", pattern: /\$\$(?!\$)((?:[^\\$`]|\\[^])+)\$\$/y, display: true },
  { open: "$", pattern: /\$(?![\s$])((?:[^\\$`]|\\[^])+)(?<!\s)\$(?![\d$])/y, display: false },
  { open: "\\(", pattern: /\\\(((?:[^\\`]|\\[^)])+?)\\\)/y, display: false },
  { open: "\\[", pattern: /\\\[((?:[^\\`]|\\[^\]])+?)\\\]/y, display: true },
];
const SAYS_SOMETHING = /[\p{L}\d]/u; // `\(\)` are two escaped parentheses
const IS_MONEY = /^\d[\d.,]*[,;:)]*\s+\p{L}{2}/u; // `$10 or US$`
// Alone on its line, or before a command: more lines follow, up to the one that ends with the mark.
const BLOCKS = [
  { open: "$$", begin: /^\$\$\s*(?:$|\\)/, end: "$$" },
  { open: "\\[", begin: /^\\\[\s*(?:$|\\)/, end: "\\]" },
];

/** @param {StateInline} state @param {boolean} silent @returns {boolean} */
function inlineRule(state, silent) {
  const kind = INLINE.find(({ open }) => state.src.startsWith(open, state.pos));
  if (!kind) return false;
  kind.pattern.lastIndex = state.pos;
  const found = kind.pattern.exec(state.src);
  if (!found || !SAYS_SOMETHING.test(found[1])) return false;
  if (kind.open === "$" && IS_MONEY.test(found[1])) return false;
  if (state.pos + found[0].length > state.posMax) return false;
  if (!silent) {
    const token = state.push("math", "", 0);
    token.content = found[1].trim();
    token.markup = found[0];
    token.block = kind.display;
  }
  state.pos += found[0].length;
  return true;
}

/** @param {StateBlock} state @param {number} line @returns {string} without what indents it */
const lineText = (state, line) =>
  state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);

/**
 * @param {StateBlock} state @param {number} startLine @param {number} endLine
 * @param {boolean} silent @returns {boolean}
 */
function blockRule(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const first = lineText(state, startLine).trimEnd();
  const kind = BLOCKS.find(({ open }) => first.startsWith(open));
  if (!kind) return false;
  const inner = first.slice(2).endsWith(kind.end) ? first.slice(2, -2) : undefined;
  const isOne = inner !== undefined && !inner.includes(kind.end) && SAYS_SOMETHING.test(inner);
  if (!isOne && (first.slice(2).includes(kind.end) || !kind.begin.test(first))) return false;
  if (silent) return true;
  let next = startLine + 1;
  let isClosed = isOne;
  const lines = [isOne ? inner : first.slice(2)];
  while (!isClosed && next < endLine && (state.isEmpty(next) || state.sCount[next] >= state.blkIndent)) {
    const text = lineText(state, next).trimEnd();
    isClosed = text.endsWith(kind.end);
    lines.push(isClosed ? text.slice(0, -kind.end.length) : text);
    next += 1;
  }
  state.line = next;
  const token = state.push("math", "", 0);
  token.map = [startLine, next];
  token.content = lines.join("\n").trim();
  token.markup = state.getLines(startLine, next, state.blkIndent, false);
  token.hidden = !isClosed;
  token.block = true;
  return true;
}

/** A plugin: tokens "math" with the TeX in `content`, `hidden` as long as its end has not come. @param {MarkdownIt} markdown */
export function mathematics(markdown) {
  const alt = ["paragraph", "reference", "blockquote", "list"];
  markdown.block.ruler.before("fence", "math", blockRule, { alt });
  markdown.inline.ruler.before("escape", "math", inlineRule);
}
