// Marks of an answer's sources, `[^source-1]`, in texts whose sources somebody shows; elsewhere they are notes.

/** @typedef {import("markdown-it").MarkdownIt} MarkdownIt */
/** @typedef {import("markdown-it").StateInline} StateInline */

const MARK = /\[\^source-(\d{1,4})\]/y;

/** @param {StateInline} state @param {boolean} silent @returns {boolean} */
function mark(state, silent) {
  if (!state.env.hasSources || state.src.charCodeAt(state.pos) !== 0x5b) return false;
  MARK.lastIndex = state.pos;
  const found = MARK.exec(state.src);
  if (!found || state.pos + found[0].length > state.posMax) return false;
  if (!silent) state.push("source_ref", "", 0).content = found[1];
  state.pos += found[0].length;
  return true;
}

/** A plugin. What follows a mark in parentheses is no address of it. @param {MarkdownIt} markdown */
export function sources(markdown) {
  markdown.inline.ruler.before("link", "source_ref", mark);
}
