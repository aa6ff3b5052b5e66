// Markdown (a CommonMark and GFM subset) to DOM, also while it streams; it knows nothing of the chat.
//
// Text reaches the page only through createElement, text nodes and checked URLs: raw HTML is text.
// Left out on purpose: reference links and setext headings (a later line would change a finished
// block or make it flicker), indented code (models indent by accident), relative URLs, HTML.

/** @typedef {"root"|"quote"|"list"|"item"|"paragraph"|"heading"|"rule"|"fence"|"table"} BlockType */
/**
 * `start` and `end` are line numbers. `size`: first number of a list (-1: bullets), content column
 * of an item, level of a heading, length of a fence. `node`: its DOM, kept once the block is done.
 * @typedef {{type: BlockType, start: number, end: number, children: Block[], lines: string[],
 *   marker: string, info: string, size: number, indent: number, done: boolean, tight: boolean,
 *   node: HTMLElement | null}} Block
 */
/** @typedef {{tag: string, href?: string, title?: string}} Spec an inline element to open */
/** @typedef {{close: number, text: string, open: Spec[], node?: Node}} Token in this order */
/** @typedef {Token & {index: number, length: number, opens: boolean, closes: boolean}} Run */
/** @typedef {(pre: HTMLElement) => void} Decorate */

const MAX_OPEN = 64; // open blocks; a list level takes two of them
const MAX_INLINE = 32; // nested inline elements; deeper ones show without their formatting
const MAX_COLUMNS = 100; // short rows are filled up, so a wide header could multiply the input
const PROTOCOLS = ["http:", "https:", "mailto:"];
const ENTITIES = new Map(Object.entries({ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" }));

const RULE = /^(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const FENCE = /^(`{3,})([^`]*)$|^(~{3,})(.*)$/;
const MARKER = /^(?:[-+*]|(\d{1,9})[.)])(?=[ \t]|$)/;
const ESCAPE = /\\([!-/:-@[-`{-~])|&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));/g;
const SPECIAL = /[\\`*_~[\]<&\n]|!\[|(?<![a-z\d])https?:\/\//gi;
const AUTOLINK = /<([a-z][a-z\d+.-]{1,31}:[^\s<>]*)>/iy;
const BARE_URL = /https?:\/\/[^\s<>*`"[\]{}|\\^\u3000-\u303f\uff00-\uffef]+/iy;
const SPACES = /[ \t\n]*/y;
const ANGLE = /<((?:[^<>\n\\]|\\[^\n])*)>/y;
const TITLE = /[ \t\n]+(?:"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'|\(((?:[^()\\]|\\[^])*)\))/y;

/** Not a regular expression: ` +$` is quadratic on long runs. @param {string} text @param {string} set */
function stripEnd(text, set) {
  let end = text.length;
  while (end > 0 && set.includes(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

/** @param {string} text */
const strip = (text) => stripEnd(text.replace(/^[ \t]+/, ""), " \t");

/** @param {string} text backslash escapes and entities are resolved */
function unescape(text) {
  return text.replace(ESCAPE, (_, literal, decimal, hex, name) => {
    if (literal || name) return literal ?? ENTITIES.get(name);
    const code = decimal ? parseInt(decimal, 10) : parseInt(hex, 16);
    const valid = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return String.fromCodePoint(valid ? code : 0xfffd);
  });
}

/** @param {RegExp} pattern sticky @param {string} text @param {number} at */
function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** @param {string} address @returns {string | undefined} the address as the URL parser reads it, if allowed */
function safe(address) {
  try {
    const url = new URL(address);
    return PROTOCOLS.includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** A line while its containers are taken off; tabs count to the next multiple of four columns. */
class Line {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.column = 0;
  }

  get blank() {
    return /^[ \t]*$/.test(this.text);
  }

  get indent() {
    let column = this.column;
    for (let i = 0; this.text[i] === " " || this.text[i] === "\t"; i += 1) {
      column += this.text[i] === " " ? 1 : 4 - (column % 4);
    }
    return column - this.column;
  }

  /** Takes white space of at most `columns`; what is left of a tab becomes blanks. @param {number} columns */
  skip(columns) {
    let i = 0;
    for (; columns > 0 && (this.text[i] === " " || this.text[i] === "\t"); i += 1) {
      const width = this.text[i] === " " ? 1 : 4 - (this.column % 4);
      const taken = Math.min(width, columns);
      columns -= taken;
      this.column += taken;
      if (taken < width) {
        this.text = " ".repeat(width - taken) + this.text.slice(i + 1);
        return;
      }
    }
    this.text = this.text.slice(i);
  }

  /** @param {number} characters not white space */
  take(characters) {
    this.text = this.text.slice(characters);
    this.column += characters;
  }
}

/** The open blocks, line by line, as in the appendix of the CommonMark specification. */
class Parser {
  line = 0;
  /** @type {Block[]} the root and what is open in it, outermost first; each is its parent's last child */
  open = [];

  constructor() {
    this.push("root");
  }

  get root() {
    return /** @type {Block} */ (this.open[0]);
  }

  get tip() {
    return /** @type {Block} */ (this.open[this.open.length - 1]);
  }

  /** A parser to try an unfinished line on: copies what is open, shares what is done. */
  fork() {
    const copy = new Parser();
    copy.line = this.line;
    copy.open = this.open.map((block) => ({ ...block, children: [...block.children], lines: [...block.lines] }));
    copy.open.slice(1).forEach((block, i) => copy.open[i]?.children.splice(-1, 1, block));
    return copy;
  }

  /** @param {number} depth how many open blocks stay open */
  close(depth) {
    for (const block of this.open.splice(depth)) block.done = true;
  }

  /** @param {BlockType} type @param {Partial<Block>} fields @returns {Block} */
  push(type, fields = {}) {
    if (type !== "item" && this.tip?.type === "list") this.close(this.open.length - 1);
    const { line: start } = this;
    const block = { type, start, end: start, children: [], lines: [], marker: "", info: "", size: 0, indent: 0,
      done: false, tight: false, node: null, ...fields };
    this.tip?.children.push(block);
    this.open.push(block);
    return block;
  }

  /** Marks the outermost `depth` open blocks as reaching this line. */
  touch(depth = this.open.length) {
    for (const block of this.open.slice(0, depth)) block.end = this.line;
  }

  /** @param {string} text one line without its end */
  add(text) {
    this.line += 1;
    const line = new Line(text);
    const { tip } = this;
    let [depth, quoted] = [1, 0];
    for (; depth < this.open.length; depth += 1) {
      const block = /** @type {Block} */ (this.open[depth]);
      if (block.type === "quote") {
        if (!this.quote(line)) break;
        quoted = depth + 1;
      } else if (block.type === "item") {
        if (line.blank ? !block.children.length : line.indent < block.size) break;
        line.skip(block.size);
      } else if (block.type !== "list") break;
    }
    const matched = tip === this.open[depth];
    if (matched && tip.type === "fence") {
      this.touch();
      const fence = strip(line.text);
      if (line.indent < 4 && fence.length >= tip.size && !stripEnd(fence, tip.marker)) return this.close(depth);
      line.skip(tip.indent);
      tip.lines.push(line.text);
      return;
    }
    if (line.blank) {
      this.close(depth);
      return this.touch(quoted);
    }
    if (matched && tip.type === "paragraph" && this.table(line, tip)) return;
    const started = this.start(line, depth, matched && tip.type === "paragraph");
    if (line.blank) return this.touch(); // a heading, a rule, a fence, or an empty container
    if (!started && (tip.type === "paragraph" || (matched && tip.type === "table"))) {
      tip.lines.push(line.text.replace(/^[ \t]+/, "")); // not matched: a lazy continuation
    } else {
      if (!started) this.close(depth);
      this.push("paragraph", { lines: [line.text.replace(/^[ \t]+/, "")] });
    }
    this.touch();
  }

  /** @param {Line} line @returns {boolean} whether a quote's marker was taken off */
  quote(line) {
    const { indent } = line;
    if (indent > 3 || !/^[ \t]*>/.test(line.text)) return false;
    line.skip(indent);
    line.take(1);
    line.skip(1);
    return true;
  }

  /** Opens the blocks that begin on this line. @param {Line} line @param {number} depth @param {boolean} interrupts */
  start(line, depth, interrupts) {
    for (let started = false; ; started = true) {
      const { indent } = line;
      const text = strip(line.text);
      const item = MARKER.exec(text);
      const fence = FENCE.exec(text);
      const level = /^#{1,6}(?=[ \t]|$)/.exec(text)?.[0].length ?? 0;
      const closeOnce = () => started || this.close(depth);
      if (indent > 3 || !text) return started;
      if (level || fence || RULE.test(text)) {
        closeOnce();
        if (fence) {
          const [, ticks, info, tildes, rest] = fence;
          const marks = ticks ?? tildes ?? "";
          this.push("fence", { size: marks.length, marker: marks.charAt(0), indent,
            info: unescape(strip(info ?? rest ?? "")).split(/\s/)[0] ?? "" });
        } else if (level) {
          const title = strip(text.slice(level));
          const bare = stripEnd(title, "#");
          this.push("heading", { size: level, lines: [/(^|[ \t])$/.test(bare) ? strip(bare) : title] });
        } else this.push("rule");
        this.touch();
        if (!fence) this.close(this.open.length - 1);
        line.text = "";
        return true;
      }
      if (this.open.length >= MAX_OPEN) return started;
      if (text.startsWith(">")) {
        closeOnce();
        this.quote(line);
        this.push("quote");
      } else if (item) {
        const [marker, number] = item;
        if (interrupts && !started && (marker === text || (number && Number(number) !== 1))) return false;
        closeOnce();
        line.skip(indent);
        line.take(marker.length);
        const gap = line.blank || line.indent > 4 ? 1 : line.indent;
        line.skip(gap);
        const kind = marker.slice(-1);
        if (this.tip.type !== "list" || this.tip.marker !== kind) {
          this.push("list", { marker: kind, size: number ? Number(number) : -1 });
        }
        this.push("item", { size: indent + marker.length + gap });
      } else return started;
    }
  }

  /** Turns the paragraph's last line into a table's header if this is a delimiter row. @param {Line} line @param {Block} paragraph */
  table(line, paragraph) {
    const header = paragraph.lines[paragraph.lines.length - 1] ?? "";
    const columns = cells(line.text);
    if (line.indent > 3 || !header.includes("|") || columns.length > MAX_COLUMNS) return false;
    if (/^[ \t]*-[ \t]/.test(line.text) || !columns.every((cell) => /^:?-+:?$/.test(cell))) return false;
    if (cells(header).length !== columns.length) return false;
    paragraph.lines.pop();
    this.close(this.open.length - 1);
    if (!paragraph.lines.length) this.tip.children.pop();
    this.push("table", { start: this.line - 1, lines: [header, line.text] });
    this.touch();
    return true;
  }
}

/** @param {string} row @returns {string[]} */
function cells(row) {
  const parts = strip(row).replace(/^\|/, "").split(/(?<!\\)\|/);
  if (parts.length > 1 && !parts[parts.length - 1]) parts.pop();
  return parts.map((part) => strip(part).replaceAll("\\|", "|"));
}

/** Pairs delimiter runs ("process emphasis" of the specification). @param {Run[]} runs */
function pair(runs) {
  /** @type {Run[]} */ const openers = [];
  /** @type {Map<string, number>} where a search that failed need not look again */ const floors = new Map();
  for (const run of runs) {
    const char = run.text.charAt(0);
    const unit = char === "~" ? 2 : 1;
    const key = `${char}${run.opens}${run.length % 3}`;
    while (run.closes && run.text.length >= unit) {
      const floor = floors.get(key) ?? 0;
      let i = openers.length - 1;
      for (; i >= 0; i -= 1) {
        const { index, text, length, closes } = /** @type {Run} */ (openers[i]);
        if (index < floor) i = 0;
        else if (text.charAt(0) !== char) continue;
        else if (unit === 2 || !(closes || run.opens) || (length + run.length) % 3 || length % 3 === 0) break;
      }
      const opener = openers[i];
      if (!opener) {
        floors.set(key, run.index);
        break;
      }
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

/** What follows `](`. @param {string} text @param {number} at of the parenthesis */
function destination(text, at) {
  if (text[at] !== "(") return undefined;
  const start = at + 1 + (match(SPACES, text, at + 1)?.[0].length ?? 0);
  const angle = match(ANGLE, text, start);
  let end = start + (angle?.[0].length ?? 0);
  for (let parentheses = 0; !angle && end < text.length; end += 1) {
    const char = text.charAt(end);
    if (char <= " " || (char === ")" && parentheses === 0)) break;
    if (char === "(") parentheses += 1;
    if (char === ")") parentheses -= 1;
    if (char === "\\" && text.charAt(end + 1) > " ") end += 1;
    if (parentheses > 32) return undefined; // the specification's bound: keeps this linear
  }
  const title = match(TITLE, text, end);
  const last = end + (title?.[0].length ?? 0);
  const close = last + (match(SPACES, text, last)?.[0].length ?? 0);
  const href = safe(unescape(angle?.[1] ?? text.slice(start, end)));
  if (text[close] !== ")" || !href) return undefined;
  const words = title && unescape(title[1] ?? title[2] ?? title[3] ?? "");
  return { tag: "a", href, ...(words ? { title: words } : {}), end: close + 1 };
}

/** @param {string} source @returns {Token[]} flat: elements open and close in order */
function tokenize(source) {
  const text = stripEnd(source, " \t\n");
  /** @type {Token[]} */ const tokens = [];
  /** @type {Run[]} */ const runs = [];
  /** @type {{index: number, image: boolean, runs: number}[]} */ const brackets = [];
  /** @type {Map<number, number> | null} last place of a run of so many backticks */ let ticks = null;
  let linked = 0; // an opening bracket before this token would put a link into a link
  let at = 0;
  /** @param {string} text @param {Partial<Token>} [fields] */
  const push = (text, fields) => tokens.push({ close: 0, text, open: [], ...fields });
  /** @param {string} href @param {string} shown */
  const link = (href, shown) => (push("", { open: [{ tag: "a", href }] }), push(shown), push("", { close: 1 }));
  while (at < text.length) {
    const special = match(SPECIAL, text, at);
    const stop = special?.index ?? text.length;
    const plain = text.slice(at, stop);
    const char = special?.[0] ?? "";
    const next = text.charAt(stop + 1);
    const bare = stripEnd(plain, " ");
    if (plain) push(char === "\n" ? bare : plain);
    at = stop + char.length;
    if (char === "\n") {
      if (plain.length - bare.length > 1) push("", { node: document.createElement("br") });
      push("\n");
    } else if (char === "\\" && next === "\n") {
      push("", { node: document.createElement("br") });
    } else if (char === "\\" || char === "&") {
      const escape = match(new RegExp(ESCAPE, "y"), text, stop)?.[0];
      push(escape ? unescape(escape) : char);
      at = stop + (escape ?? char).length;
    } else if (char === "`") {
      const fence = match(/`+/y, text, stop)?.[0] ?? "";
      const from = stop + fence.length;
      ticks ??= new Map([...text.matchAll(/`+/g)].map((run) => [run[0].length, run.index]));
      let end = from;
      let closing = (ticks.get(fence.length) ?? 0) < from ? "" : fence;
      while (closing) {
        end = text.indexOf("`", end);
        const run = match(/`+/y, text, end)?.[0] ?? "";
        if (run.length === fence.length) break;
        end += run.length;
      }
      const code = text.slice(from, end).replaceAll("\n", " ");
      const padded = /^ .* $/.test(code) && /[^ ]/.test(code);
      if (closing) push("", { open: [{ tag: "code" }] }), push(padded ? code.slice(1, -1) : code), push("", { close: 1 });
      else push(fence);
      at = closing ? end + fence.length : from;
    } else if (char === "*" || char === "_" || char === "~") {
      const marks = match(/\*+|_+|~+/y, text, stop)?.[0] ?? char;
      at = stop + marks.length;
      const low = /[\udc00-\udfff]/.test(text.charAt(stop - 1)) ? 2 : 1;
      const before = stop ? String.fromCodePoint(text.codePointAt(stop - low) ?? 32) : " ";
      const after = at < text.length ? String.fromCodePoint(text.codePointAt(at) ?? 32) : " ";
      const [gapBefore, gapAfter] = [/\s/.test(before), /\s/.test(after)];
      const [markBefore, markAfter] = [before, after].map((side) => /[\p{P}\p{S}]/u.test(side));
      const left = !gapAfter && (!markAfter || gapBefore || markBefore);
      const right = !gapBefore && (!markBefore || gapAfter || markAfter);
      const opens = left && (char !== "_" || !right || markBefore === true);
      const closes = right && (char !== "_" || !left || markAfter === true);
      const run = { close: 0, text: marks, open: [], index: tokens.length, length: marks.length, opens, closes };
      tokens.push(run);
      runs.push(run);
    } else if (char === "[" || char === "![") {
      brackets.push({ index: tokens.length, image: char === "![", runs: runs.length });
      push(char);
    } else if (char === "]") {
      const bracket = brackets.pop();
      const target = bracket && (bracket.image || bracket.index >= linked) && destination(text, at);
      const opener = bracket && tokens[bracket.index];
      if (bracket && target && opener) {
        pair(runs.splice(bracket.runs));
        if (bracket.image && opener === tokens[tokens.length - 1]) push(target.href);
        if (!bracket.image) linked = bracket.index;
        opener.text = "";
        opener.open.push(target);
        push("", { close: 1 });
        at = target.end;
      } else push("]");
    } else if (char === "<") {
      const address = match(AUTOLINK, text, stop)?.[1] ?? "";
      const href = safe(address);
      if (href) link(href, address);
      else push("<");
      if (href) at = stop + address.length + 2;
    } else if (char) {
      const address = bareUrl(match(BARE_URL, text, stop)?.[0] ?? char);
      const href = safe(unescape(address));
      if (href) link(href, unescape(address));
      else push(address);
      at = stop + address.length;
    }
  }
  pair(runs);
  return tokens;
}

/** @param {string} text @returns {string} without the punctuation of the sentence around it */
function bareUrl(text) {
  let extra = text.split(")").length - text.split("(").length;
  let end = text.length;
  for (; end > 8; end -= 1) {
    if (text[end - 1] === ")" && extra > 0) extra -= 1;
    else if (!"?!.,:;*_~'".includes(text.charAt(end - 1))) break;
  }
  return text.slice(0, end);
}

/** @param {string} text @param {HTMLElement} parent */
function inline(text, parent) {
  const path = [parent];
  for (const { close, text: words, open, node } of tokenize(text)) {
    path.length -= close;
    const top = /** @type {HTMLElement} */ (path[path.length - 1]);
    if (words) top.append(words);
    if (node) top.append(node);
    for (const { tag, href, title } of open) {
      const outer = /** @type {HTMLElement} */ (path[path.length - 1]);
      const nested = href && path.some((element) => element.tagName === "A" && element !== parent);
      const element = nested || path.length > MAX_INLINE ? outer : document.createElement(tag);
      if (element !== outer) {
        if (href) element.setAttribute("href", href);
        if (href) element.setAttribute("rel", "noopener noreferrer");
        if (href) element.setAttribute("target", "_blank");
        if (title) element.setAttribute("title", title);
        outer.append(element);
      }
      path.push(element);
    }
  }
}

/** @param {Block} block @param {Decorate} [decorate] @param {boolean} [tight] @returns {HTMLElement} */
function build(block, decorate, tight = false) {
  if (block.node && block.tight === tight) return block.node;
  const { type, children, lines, size } = block;
  const bullets = type === "list" && size < 0;
  const tags = { root: "div", quote: "blockquote", list: bullets ? "ul" : "ol", item: "li", paragraph: "p",
    heading: `h${size}`, rule: "hr", fence: "pre", table: "table" };
  const element = document.createElement(tags[type]);
  if (type === "list") {
    const packed = children.every((item, i) => (i === 0 || item.start - (children[i - 1]?.end ?? 0) < 2)
      && item.children.every((child, k) => k === 0 || child.start - (item.children[k - 1]?.end ?? 0) < 2));
    if (!bullets && size !== 1) element.setAttribute("start", String(size));
    for (const item of children) element.append(build(item, decorate, packed));
  } else if (type === "fence") {
    const code = document.createElement("code");
    if (block.info) code.setAttribute("class", `language-${block.info}`);
    code.append(document.createTextNode(lines.map((line) => `${line}\n`).join("")));
    element.append(code);
    decorate?.(element);
  } else if (type === "table") {
    const [header = "", delimiters = "", ...rows] = lines;
    const aligns = cells(delimiters).map((cell) => (cell.endsWith(":") ? (cell[0] === ":" ? "center" : "right") : cell[0] === ":" ? "left" : ""));
    /** @type {HTMLElement | undefined} */ let section;
    [header, ...rows].forEach((row, i) => {
      if (i < 2) element.append((section = document.createElement(i ? "tbody" : "thead")));
      const line = document.createElement("tr");
      const texts = cells(row);
      aligns.forEach((align, column) => {
        const cell = document.createElement(i ? "td" : "th");
        if (align) cell.setAttribute("align", align);
        inline(texts[column] ?? "", cell);
        line.append(cell);
      });
      section?.append(line);
    });
  } else if (type === "paragraph" || type === "heading") inline(lines.join("\n"), element);
  for (const child of type === "list" ? [] : children) {
    if (tight && child.type === "paragraph") inline(child.lines.join("\n"), element);
    else element.append(build(child, decorate));
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
  /** @type {HTMLElement[]} what is not final */ let tail = [];
  /** @type {{block: Block, text: Text, lines: number, shown: number} | null} */ let fence = null;
  let partial = "";
  container.replaceChildren();

  /** Brings the page to the parser's state. @param {string} rest the line that has not ended */
  function sync(rest) {
    for (const node of tail) node.remove();
    for (const block of parser.root.children) {
      if (block === fence?.block) {
        const fresh = block.lines.slice(fence.lines).map((line) => `${line}\n`).join("");
        if (fresh) fence.text.appendData(fresh.slice(fence.shown));
        if (fresh) Object.assign(fence, { lines: block.lines.length, shown: 0 });
        if (block.done) fence = null;
      } else if (block.done || block.type === "fence") {
        const node = build(block, decorate);
        container.append(node);
        const text = /** @type {Text} */ (node.firstChild?.firstChild);
        if (!block.done) fence = { block, text, lines: block.lines.length, shown: 0 };
      }
    }
    parser.root.children = parser.root.children.filter((block) => !block.done);
    tail = [];
    if (fence) return grow(fence, rest);
    const preview = rest ? parser.fork() : parser;
    if (rest) preview.add(rest);
    tail = preview.root.children.map((block) => build(block, decorate));
    container.append(...tail);
  }

  /** Shows the unfinished line of a fence unless it may become its end. @param {{block: Block, text: Text, shown: number}} open @param {string} rest */
  function grow(open, rest) {
    if (/^[ \t]*[`~]*[ \t]*$/.test(rest)) return;
    const line = new Line(rest);
    line.skip(open.block.indent);
    open.text.appendData(line.text.slice(open.shown));
    open.shown = line.text.length;
  }

  return {
    /** @param {string} text */
    append(text) {
      const clean = text.replaceAll("\r", "");
      if (fence?.shown && !clean.includes("\n")) { // without looking at the line again: it may be long
        fence.text.appendData(clean);
        fence.shown += clean.length;
        partial += clean;
        return;
      }
      const lines = (partial + clean).split("\n");
      partial = lines.pop() ?? "";
      for (const line of lines) parser.add(line);
      sync(partial);
    },
    end() {
      if (partial) parser.add(partial);
      partial = "";
      parser.close(1);
      sync("");
    },
  };
}

/** Replaces the children of `container` by `text`, rendered. @param {string} text @param {HTMLElement} container @param {{decorate?: Decorate}} [options] */
export function render(text, container, options = {}) {
  const stream = createStream(container, options);
  stream.append(text);
  stream.end();
}
