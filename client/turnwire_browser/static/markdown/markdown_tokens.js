// Inline Markdown (a CommonMark and GFM subset) to tokens, and how much of them is final while the
// text grows; it knows neither DOM nor blocks.

/** @typedef {{tag: string, href?: string, title?: string}} Spec an inline element to make */
// A piece of the text from `at` on, flat: `close` elements end, `text` follows (inside an element of
// its own if there is a `leaf`), the elements of `open` begin. `plain`: nothing in it has a meaning.
/**
 * @typedef {{at: number, close: number, text: string, leaf?: Spec, open: Spec[], plain?: boolean}}
 *   Token
 */
// A delimiter run: its `text` shrinks while it is paired, `length` stays.
/** @typedef {Token & {index: number, length: number, opens: boolean, closes: boolean}} Run */

// Characters from the start of an emphasis, a code span or a link to where its end must begin: so
// a growing text is never read again from further back than twice this.
const MAX_SPAN = 5000;
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
  /<(?:https?:\/\/|mailto:)[^\s<>]{0,4900}>/,
  // A bare URL, without the punctuation of the sentence around it; not longer than MAX_SPAN
  new RegExp(
    `(?<![a-z\\d])https?://${PART}{0,4000}(?:\\(${PART}{0,99}\\)${PART}{0,99}){0,4}(?<![?!.,:;*_~'])`,
  ),
], "|", "gi");
const DESTINATION = join([
  /\(\s*/,
  /(?:<(?<angle>[^<>\n]*)>|(?<bare>(?:[^\s()\\]|\\\S|\((?:[^\s()\\]|\\\S){0,999}\)){1,9999}))/,
  /(?:\s+(?<title>(?<q>["'])(?:(?!\k<q>)[^\\]|\\[^]){0,999}\k<q>|\((?:[^()\\]|\\[^]){0,999}\)))?/,
  /\s*\)/,
], "", "y");

// The beginning of a destination, or of nothing yet: more text may complete it.
const DESTINATION_BEGUN = /$|\(\s*(?:<[^<>\n]*>?|\S*)(?:\s+(?:["'(][^]*)?)?$/y;
const ADDRESS_BEGUN = /(?:https?:\/\/|mailto:)\S*$/i;
// Chinese, Japanese and Korean have words without blanks between; none is a part of an entity.
const IDEOGRAPH = /[\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef]/;

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

/** Whether runs may pair, by the "rule of three". @param {Run} opener @param {Run} closer */
function fits(opener, closer) {
  if (opener.text[0] !== closer.text[0]) return false;
  const inner = closer.text[0] !== "~" && (opener.closes || closer.opens);
  return !inner || opener.length % 3 === 0 || (opener.length + closer.length) % 3 !== 0;
}

/**
 * Makes emphasis of delimiter runs: "process emphasis" of CommonMark.
 * @param {Run[]} runs @returns {Run[]} those that a later run may yet close
 */
function pair(runs) {
  /** @type {Run[]} */ const openers = [];
  /** @type {Map<string, number>} before these, searches have failed */ const floors = new Map();
  for (const run of runs) {
    const char = run.text[0];
    const unit = char === "~" ? 2 : 1; // a single tilde is text
    const kind = `${char}${run.opens}${run.length % 3}`;
    const floor = floors.get(kind) ?? 0;
    /** @param {Run} opener */
    const isNear = ({ index, at }) => index >= floor && run.at - at <= MAX_SPAN;
    while (run.closes && run.text.length >= unit) {
      let i = openers.length - 1;
      while (i >= 0 && isNear(openers[i]) && !fits(openers[i], run)) i -= 1;
      if (i < 0 || !isNear(openers[i])) {
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
  return openers;
}

/** Cuts a text into tokens, from left to right. */
export class Scanner {
  start = 0; // of what is being taken
  at = 0; // the end of what is taken
  /** @type {Token[]} */ tokens = [];
  /** @type {Run[]} not paired yet */ runs = [];
  /** @type {{at: number, index: number, image: boolean, runs: number}[]} not closed yet */
  brackets = [];
  /** @type {Map<number, number>} where the last run of so many backticks is */ ticks = new Map();
  linked = 0; // a bracket before this token would put a link into a link
  /** @type {number[]} where something begins that has no end as yet */ waiting = [];

  /** @param {string} text */
  constructor(text) {
    this.text = text;
    for (const run of text.matchAll(/`+/g)) this.ticks.set(run[0].length, run.index);
    this.scan();
  }

  scan() {
    while (this.at < this.text.length) {
      const special = match(SPECIAL, this.text, this.at);
      const stop = special?.index ?? this.text.length;
      this.start = this.at;
      if (stop > this.at) this.push(decode(this.text.slice(this.at, stop)), undefined, true);
      this.start = stop;
      this.at = stop + (special?.[0].length ?? 0);
      if (special) this.take(special[0]);
    }
    for (const { at } of [...pair(this.runs), ...this.brackets]) this.waiting.push(at);
  }

  /**
   * How much of the text, which ends with no blank, stays as it is whatever follows: up to a place
   * between words in no element, before which nothing is waiting for its end. Cut there, the two
   * parts have the tokens of the whole: what looks at its neighbours takes a start for a blank.
   * @returns {number}
   */
  settled() {
    const { text, tokens } = this;
    const last = tokens[tokens.length - 1];
    // Until here no more ends will be found: the last run may grow, or read differently.
    const known = last?.plain && text.length - last.at > 1;
    const edge = known ? text.length - 1 : tokens[tokens.length - 2]?.at ?? 0;
    const far = text.length - MAX_SPAN;
    const address = text.slice(Math.max(0, far)).search(ADDRESS_BEGUN);
    let limit = address < 0 ? text.length : Math.max(0, far) + address;
    for (const at of this.waiting) if (edge - at <= MAX_SPAN) limit = Math.min(limit, at);
    let depth = 0;
    for (let i = tokens.length - 1, end = text.length; i >= 0; i -= 1) {
      const { at, close, open, plain } = tokens[i];
      depth -= open.length;
      if (plain && depth === 0) {
        for (let place = Math.min(end, limit); place > at; place -= 1) {
          if (this.beginsWord(place)) return place;
        }
      }
      depth += close;
      end = at;
    }
    return 0;
  }

  /** @param {number} place @returns {boolean} whether a word begins there, after a blank if it must */
  beginsWord(place) {
    const char = this.text[place] ?? " ";
    return /\s/.test(this.text[place - 1]) ? /\S/.test(char) : IDEOGRAPH.test(char);
  }

  /** @param {string} text @param {Spec} [leaf] @param {boolean} [plain] */
  push(text, leaf, plain) {
    this.tokens.push({ at: this.start, close: 0, text, leaf, open: [], plain });
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
    this.push("\n", undefined, true);
  }

  /** @param {string} ticks */
  code(ticks) {
    const { text, at } = this;
    const end = (this.ticks.get(ticks.length) ?? 0) < at ? -1 : this.codeEnd(ticks.length);
    if (end < 0) {
      this.waiting.push(this.start);
      return this.push(ticks);
    }
    const code = text.slice(at, end).replaceAll("\n", " ");
    const padded = code.startsWith(" ") && code.endsWith(" ") && /[^ ]/.test(code);
    this.push(padded ? code.slice(1, -1) : code, { tag: "code" });
    this.at = end + ticks.length;
  }

  /** @param {number} length of the run of backticks that ends it @returns {number} -1: none */
  codeEnd(length) {
    for (const run of this.text.slice(this.at).matchAll(/`+/g)) {
      if (run.index > MAX_SPAN) break;
      if (run[0].length === length) return this.at + run.index;
    }
    return -1;
  }

  /** A run opens and closes by what is around it ("flanking"). @param {string} marks */
  delimiters(marks) {
    /** @param {RegExp} pattern @param {number} at */
    const is = (pattern, at) => match(pattern, this.text, at) !== null;
    const { start } = this;
    const [gapBefore, gapAfter] = [is(/(?<!\S)/y, start), is(/(?!\S)/y, this.at)];
    const markBefore = is(/(?<=[\p{P}\p{S}])/uy, start);
    const markAfter = is(/(?=[\p{P}\p{S}])/uy, this.at);
    const left = !gapAfter && (!markAfter || gapBefore || markBefore);
    const right = !gapBefore && (!markBefore || gapAfter || markAfter);
    const word = marks[0] === "_"; // underscores inside a word are text
    /** @type {Run} */
    const run = {
      at: start, close: 0, text: marks, open: [], index: this.tokens.length, length: marks.length,
      opens: left && (!word || !right || markBefore),
      closes: right && (!word || !left || markAfter),
    };
    this.tokens.push(run);
    this.runs.push(run);
  }

  /** @param {string} mark */
  openBracket(mark) {
    const { start: at, tokens, runs } = this;
    this.brackets.push({ at, index: tokens.length, image: mark === "![", runs: runs.length });
    this.push(mark);
  }

  closeBracket() {
    const bracket = this.brackets.pop();
    const allowed = bracket && (bracket.image || bracket.index >= this.linked);
    const found = allowed && match(DESTINATION, this.text, this.at);
    const open = allowed && !found && this.text.length - bracket.at <= MAX_SPAN;
    if (open && match(DESTINATION_BEGUN, this.text, this.at)) this.waiting.push(bracket.at);
    const whole = found && this.at + found[0].length - bracket.at <= MAX_SPAN;
    const { angle, bare, title = "" } = (whole && found.groups) || {};
    const href = whole && safe(decode(angle ?? bare ?? ""));
    if (!href) return this.push("]");
    pair(this.runs.splice(bracket.runs));
    if (bracket.image && bracket.index === this.tokens.length - 1) this.push(href);
    if (!bracket.image) this.linked = bracket.index;
    const link = { tag: "a", href, title: decode(title.slice(1, -1)) };
    Object.assign(this.tokens[bracket.index], { text: "", open: [link] });
    this.tokens.push({ at: this.start, close: 1, text: "", open: [] });
    this.at += found[0].length;
  }

  /** @param {string} address @param {string} otherwise what to show if it is not allowed */
  link(address, otherwise) {
    const href = safe(address);
    this.push(href ? address : otherwise, href ? { tag: "a", href } : undefined);
  }
}
