// Inline Markdown (a CommonMark and GFM subset) to DOM; it knows nothing of blocks and streaming.
//
// Text reaches the page only through createElement, text nodes and checked URLs: raw HTML is text.
// An image becomes a link: fetching it would tell its server what a prompt made the model write.

/** @typedef {{tag: string, href?: string, title?: string}} Spec an inline element to make */
// A piece of the text, flat: `close` elements end, `text` follows (inside an element of its own if
// there is a `leaf`), the elements of `open` begin.
/** @typedef {{close: number, text: string, leaf?: Spec, open: Spec[]}} Token */
// A delimiter run: its `text` shrinks while it is paired, `length` stays.
/** @typedef {Token & {index: number, length: number, opens: boolean, closes: boolean}} Run */

const MAX_NESTED = 32; // deeper elements show without their formatting
const LINK = { rel: "noopener noreferrer", target: "_blank" };
const PROTOCOLS = ["http:", "https:", "mailto:"];
/** @type {Record<string, string>} */
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const ESCAPE =
  /\\([!-/:-@[-`{-~])|&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));/g;

/** @param {RegExp[]} patterns @param {string} separator @param {string} flags */
const join = (patterns, separator, flags) =>
  new RegExp(patterns.map((pattern) => pattern.source).join(separator), flags);

const PART = String.raw`[^\s<>()*"[\]{}|\\^\u0060\u3000-\u303f\uff00-\uffef]`;

// No pattern may scan the same text from many places, or match it in two ways: each takes time in
// proportion to the text, and bounds keep its stack small. `(?<! ) *` scans a run of blanks once.
const SPECIAL = join([
  /\\[!-/:-@[-`{-~\n]/, // an escape or a hard line break
  /(?<! ) *\n/, // a line break, hard after two blanks
  /`+|\*+|_+|~+/,
  /!?\[|\]/,
  /<(?:https?:\/\/|mailto:)[^\s<>]*>/,
  // A bare URL, without the punctuation of the sentence around it
  new RegExp(`(?<![a-z\\d])https?://${PART}*(?:\\(${PART}*\\)${PART}*){0,999}(?<![?!.,:;*_~'])`),
], "|", "gi");
const DESTINATION = join([
  /\(\s*/,
  /(?:<(?<angle>[^<>\n]*)>|(?<bare>(?:[^\s()\\]|\\\S|\((?:[^\s()\\]|\\\S){0,999}\)){1,9999}))/,
  /(?:\s+(?<title>(?<q>["'])(?:(?!\k<q>)[^\\]|\\[^]){0,999}\k<q>|\((?:[^()\\]|\\[^]){0,999}\)))?/,
  /\s*\)/,
], "", "y");

/** @param {RegExp} pattern sticky or global @param {string} text @param {number} at */
function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** @param {string} text @returns {string} with backslash escapes and entities resolved */
export function decode(text) {
  return text.replace(ESCAPE, (_, literal, decimal, hex, name) => {
    if (literal || name) return literal ?? ENTITIES[name];
    const code = decimal ? parseInt(decimal, 10) : parseInt(hex, 16);
    const valid = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return String.fromCodePoint(valid ? code : 0xfffd);
  });
}

/** @param {string} address @returns {string | undefined} as the URL parser reads it, if allowed */
function safe(address) {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  return url && PROTOCOLS.includes(url.protocol) ? url.href : undefined;
}

/** @param {string} tag @param {Record<string, string | undefined>} [attributes] empty: left out */
export function makeElement(tag, attributes = {}) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value) element.setAttribute(name, value);
  }
  return element;
}

/** Whether two runs may pair, by the "rule of three". @param {Run} opener @param {Run} closer */
function fits(opener, closer) {
  if (opener.text[0] !== closer.text[0]) return false;
  const inner = closer.text[0] !== "~" && (opener.closes || closer.opens);
  return !inner || opener.length % 3 === 0 || (opener.length + closer.length) % 3 !== 0;
}

/** Makes emphasis of delimiter runs: "process emphasis" of CommonMark. @param {Run[]} runs */
function pair(runs) {
  /** @type {Run[]} */ const openers = [];
  /** @type {Map<string, number>} before these, searches have failed */ const floors = new Map();
  for (const run of runs) {
    const char = run.text[0];
    const unit = char === "~" ? 2 : 1; // a single tilde is text
    const kind = `${char}${run.opens}${run.length % 3}`;
    const floor = floors.get(kind) ?? 0;
    while (run.closes && run.text.length >= unit) {
      let i = openers.length - 1;
      while (i >= 0 && openers[i].index >= floor && !fits(openers[i], run)) i -= 1;
      if (i < 0 || openers[i].index < floor) {
        floors.set(kind, run.index);
        break;
      }
      const opener = openers[i];
      const size = Math.min(opener.text.length, run.text.length, 2);
      opener.text = opener.text.slice(size);
      opener.open.unshift({ tag: unit === 2 ? "s" : size === 2 ? "strong" : "em" });
      run.text = run.text.slice(size);
      run.close += 1;
      openers.length = opener.text.length >= unit ? i + 1 : i;
    }
    if (run.opens && run.text.length >= unit) openers.push(run);
  }
}

/** Cuts a text into tokens, from left to right. */
class Scanner {
  at = 0; // the end of what is taken
  /** @type {Token[]} */ tokens = [];
  /** @type {Run[]} not paired yet */ runs = [];
  /** @type {{index: number, image: boolean, runs: number}[]} not closed yet */ brackets = [];
  /** @type {Map<number, number>} where the last run of so many backticks is */ ticks = new Map();
  linked = 0; // a bracket before this token would put a link into a link

  /** @param {string} text */
  constructor(text) {
    this.text = text;
    for (const run of text.matchAll(/`+/g)) this.ticks.set(run[0].length, run.index);
  }

  scan() {
    while (this.at < this.text.length) {
      const special = match(SPECIAL, this.text, this.at);
      const stop = special?.index ?? this.text.length;
      if (stop > this.at) this.push(decode(this.text.slice(this.at, stop)));
      this.at = stop + (special?.[0].length ?? 0);
      if (special) this.take(special[0]);
    }
    pair(this.runs);
    return this.tokens;
  }

  /** @param {string} text @param {Spec} [leaf] */
  push(text, leaf) {
    this.tokens.push({ close: 0, text, leaf, open: [] });
  }

  /** @param {string} special what SPECIAL has matched; `at` is behind it */
  take(special) {
    switch (special[0]) {
      case "\\": return special === "\\\n" ? this.lineBreak(true) : this.push(special[1]);
      case "\n": case " ": return this.lineBreak(special.length > 2);
      case "`": return this.code(special);
      case "*": case "_": case "~": return this.delimiters(special);
      case "[": case "!": return this.openBracket(special);
      case "]": return this.closeBracket();
      case "<": return this.link(special.slice(1, -1), special);
      default: return this.link(decode(special), special);
    }
  }

  /** @param {boolean} hard */
  lineBreak(hard) {
    if (hard) this.push("", { tag: "br" });
    this.push("\n");
  }

  /** @param {string} ticks */
  code(ticks) {
    if ((this.ticks.get(ticks.length) ?? 0) < this.at) return this.push(ticks);
    let end = this.at;
    for (const run of this.text.slice(this.at).matchAll(/`+/g)) {
      end = this.at + run.index;
      if (run[0].length === ticks.length) break;
    }
    const code = this.text.slice(this.at, end).replaceAll("\n", " ");
    const padded = code.startsWith(" ") && code.endsWith(" ") && /[^ ]/.test(code);
    this.push(padded ? code.slice(1, -1) : code, { tag: "code" });
    this.at = end + ticks.length;
  }

  /** A run opens and closes by what is around it ("flanking"). @param {string} marks */
  delimiters(marks) {
    /** @param {RegExp} pattern @param {number} at */
    const is = (pattern, at) => match(pattern, this.text, at) !== null;
    const start = this.at - marks.length;
    const [gapBefore, gapAfter] = [is(/(?<!\S)/y, start), is(/(?!\S)/y, this.at)];
    const markBefore = is(/(?<=[\p{P}\p{S}])/uy, start);
    const markAfter = is(/(?=[\p{P}\p{S}])/uy, this.at);
    const left = !gapAfter && (!markAfter || gapBefore || markBefore);
    const right = !gapBefore && (!markBefore || gapAfter || markAfter);
    const word = marks[0] === "_"; // underscores inside a word are text
    /** @type {Run} */
    const run = {
      close: 0, text: marks, open: [], index: this.tokens.length, length: marks.length,
      opens: left && (!word || !right || markBefore),
      closes: right && (!word || !left || markAfter),
    };
    this.tokens.push(run);
    this.runs.push(run);
  }

  /** @param {string} mark */
  openBracket(mark) {
    const { tokens, runs } = this;
    this.brackets.push({ index: tokens.length, image: mark === "![", runs: runs.length });
    this.push(mark);
  }

  closeBracket() {
    const bracket = this.brackets.pop();
    const allowed = bracket && (bracket.image || bracket.index >= this.linked);
    const found = allowed && match(DESTINATION, this.text, this.at);
    const { angle, bare, title = "" } = (found && found.groups) || {};
    const href = found && safe(decode(angle ?? bare));
    if (!href) return this.push("]");
    pair(this.runs.splice(bracket.runs));
    if (bracket.image && bracket.index === this.tokens.length - 1) this.push(href);
    if (!bracket.image) this.linked = bracket.index;
    const link = { tag: "a", href, title: decode(title.slice(1, -1)) };
    Object.assign(this.tokens[bracket.index], { text: "", open: [link] });
    this.tokens.push({ close: 1, text: "", open: [] });
    this.at += found[0].length;
  }

  /** @param {string} address @param {string} otherwise what to show if it is not allowed */
  link(address, otherwise) {
    const href = safe(address);
    this.push(href ? address : otherwise, href ? { tag: "a", href } : undefined);
  }
}

/**
 * Makes an element inside the innermost one; or returns that, where links or too many would nest.
 * @param {Spec} spec @param {HTMLElement[]} path
 */
function enter({ tag, href, title }, path) {
  const outer = path[path.length - 1];
  if (path.length > MAX_NESTED) return outer;
  if (href && path.some((element) => element.tagName === "A")) return outer;
  const element = makeElement(tag, href ? { href, ...LINK, title } : {});
  outer.append(element);
  return element;
}

/** Adds a text's formatted content to `parent`. @param {string} text @param {HTMLElement} parent */
export function appendInline(text, parent) {
  const path = [parent];
  for (const { close, text: words, leaf, open } of new Scanner(text).scan()) {
    path.length -= close;
    const inner = leaf ? enter(leaf, path) : path[path.length - 1];
    if (words) inner.append(words);
    for (const spec of open) path.push(enter(spec, path));
  }
}
