// What is Markdown here: CommonMark and GFM by markdown-it, emphasis that fits Chinese, Japanese and
// Korean, footnotes, mathematics and a closed list of HTML tags. It gives tokens and knows no DOM.
//
// Departures, all on purpose: other HTML is text; a link may lead to http:, https:, mailto: and to
// what is relative; one tilde strikes nothing (of `3~5 days, 10~20 minutes` it would); what looks like
// a host without a scheme (README.md) is no link unless it begins with www.

import MarkdownIt from "markdown-it";
import cjkFriendly from "markdown-it-cjk-friendly";
// @ts-expect-error It has no types.
import footnote from "markdown-it-footnote";
import { mathematics } from "./mathematics.js";
import { sources } from "./sources.js";
import { tags } from "./tags.js";

/** @typedef {import("markdown-it").Token} Token */
/** @typedef {import("markdown-it").Env} Env */

const PROTOCOLS = ["http:", "https:", "mailto:"];
const MAX_NESTED = 60; // levels of blocks, and of what is inside a line
const RELATIVE = "https://relative.invalid/";

/** @param {string} address @returns {boolean} as the URL parser of browsers reads it */
export function isAllowed(address) {
  return URL.canParse(address, RELATIVE) && PROTOCOLS.includes(new URL(address, RELATIVE).protocol);
}

/** www.example.com, as GFM has it: the rest is checked as that of a link with a scheme. */
const WWW = {
  /** @param {string} text @param {number} at behind "www." */
  validate(text, at) {
    const found = /^https?:\/\/[^]*/.exec(`http://www.${text.slice(at)}`);
    const link = found && markdown.linkify.matchAtStart(found[0]);
    return link ? link.lastIndex - "http://www.".length : 0;
  },
  /** @param {{url: string}} match */
  normalize(match) {
    match.url = `http://${match.url}`;
  },
};

/** @param {string} address as it is written @returns {string} without what none may contain; the names of hosts are the browser's */
function encoded(address) {
  const escaped = encodeURI(address.replace(/\p{Surrogate}/gu, "\ufffd")).replace(/%25(?=[0-9a-f]{2})/gi, "%");
  // A host that is a number (IPv6).
  return escaped.replace(/^((?:[a-z][\w+.-]*:)?\/\/(?:[^/?#]*@)?)%5B([\da-f:.]*)%5D/i, "$1[$2]");
}

/** @param {string} address encoded @returns {string} as it is shown: what has a meaning in an address stays as it is */
function decoded(address) {
  return address.replace(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return decodeURI(run.replaceAll("%25", "%2525"));
    } catch {
      return run; // It is no UTF-8.
    }
  });
}

/**
 * Three tildes and more strike nothing, as in GFM; markdown-it would take two of them.
 * @param {import("markdown-it").StateInline} state @param {boolean} silent @returns {boolean}
 */
function tildes(state, silent) {
  let end = state.pos;
  while (end < state.posMax && state.src[end] === "~") end += 1;
  if (end - state.pos < 3) return false;
  if (!silent) state.pending += state.src.slice(state.pos, end);
  state.pos = end;
  return true;
}

const markdown = new MarkdownIt({ html: false, linkify: true, maxNesting: MAX_NESTED });
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: true });
markdown.linkify.add("www.", WWW).add("ftp:", null).add("//", null);
markdown.validateLink = isAllowed;
markdown.normalizeLink = encoded;
markdown.normalizeLinkText = decoded;
markdown.use(cjkFriendly).use(footnote).use(mathematics).use(sources).use(tags);
// Notes are gathered by who shows them; a definition's token says what the text defines.
markdown.core.ruler.disable(["footnote_tail", "strip_references"]);
markdown.inline.ruler.disable("footnote_inline");
markdown.inline.ruler.before("strikethrough", "tildes", tildes);

/**
 * @param {string} text with "\n" for its line ends
 * @param {Env} env gets what the text defines
 * @returns {Token[]} of its blocks; that of what is inside lines have their text only
 */
export function blockTokens(text, env) {
  /** @type {Token[]} */ const tokens = [];
  markdown.block.parse(text, markdown, env, tokens);
  return tokens;
}

/** @param {string} text of an "inline" token @param {Env} env @returns {Token[]} */
export function inlineTokens(text, env) {
  return markdown.parseInline(text, env)[0].children ?? [];
}

/** @param {Token} token a fence @returns {string} its language, or "" */
export function languageOf({ info }) {
  return markdown.utils.unescapeAll(info).trim().split(/\s/, 1)[0];
}
