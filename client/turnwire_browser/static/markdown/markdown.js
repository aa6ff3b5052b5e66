// Markdown to DOM, also as it streams; it knows nothing of the chat.
//
// An update reads what is not settled: the last block, or the last item, row or line of it. What is
// settled keeps its nodes and is not read again, but for a part that asked for something which only a
// later part defines. After `end()` the content equals that of `render` of the whole text.

import { Lines, blocksOf, settled } from "./blocks.js";
import { Definitions } from "./definitions.js";
import { blockSpecs, labelOf } from "./elements.js";
import { showAll } from "./mount.js";
import { Notes } from "./notes.js";
import { Phrases } from "./phrases.js";
import { step } from "./resume.js";

/** @typedef {import("markdown-it").Token} Token */
/** @typedef {import("./blocks.js").Block} Block */
/** @typedef {import("./definitions.js").Answers} Answers */
/** @typedef {import("./mount.js").Dresser} Dresser */
/** @typedef {import("./mount.js").ElementSpec} ElementSpec */
/** @typedef {import("./mount.js").Mount} Mount */
/** @typedef {import("./mount.js").Spec} Spec */
/** @typedef {import("./resume.js").Resumed} Resumed */

/** @typedef {{block: Block, specs: Spec[], answers: Answers, notes: Map<string, ElementSpec>}} Reading of a block */
/**
 * A settled part that has asked for definitions: its text, how it is shown, the notes that it defines.
 * @typedef {{text: string, resumed: Resumed | undefined, parent: Node, mounts: Mount[], isStep: boolean,
 *   answers: Answers, labels: string[]}} Part `isStep`: items or rows of what is resumed
 */

// A line so far that may become the mark of a list, a heading, a fence, a table …: it is not shown
// before it says more, so that nothing flickers.
const MAY_BE_MARK = /^[ \t`~*_=+#>|:.\d()$\\<[\]^!-]{0,200}$/;
const MAY_END_FENCE = /^[ \t]*[`~]*[ \t]*$/;

class MarkdownStream {
  #text = ""; // not settled, behind the head of what is resumed
  #shown = ""; // of it
  #held = ""; // the end of what came: half of a line end
  /** @type {Resumed | undefined} */ #resumed;
  /** @type {Mount[]} of what is not settled */ #mounts = [];
  /** @type {Part[]} */ #parts = [];
  #definitions = new Definitions();
  #phrases = new Phrases(this.#definitions);
  #notes;

  /** @param {HTMLElement} container @param {Dresser} dresser */
  constructor(container, dresser) {
    this.container = container;
    this.dresser = dresser;
    this.#notes = new Notes(container, dresser);
    container.replaceChildren();
    // The page's address says which conversation is open: a link into the text must not change it.
    container.onclick = (event) => follow(event, container);
  }

  /** @param {string} text */
  append(text) {
    const all = this.#held + text;
    this.#held = all.endsWith("\r") ? "\r" : "";
    this.#text += clean(all.slice(0, all.length - this.#held.length));
    this.#update(false);
  }

  /** @param {string} [text] the last of it */
  finish(text = "") {
    this.#text += clean(this.#held + text);
    this.#held = "";
    if (!this.#text.endsWith("\n")) this.#text += "\n";
    if (this.#resumed) this.#update(false); // its last line has ended now
    this.#update(true);
  }

  /** @param {boolean} isLast whether no more text will come @returns {void} */
  #update(isLast) {
    const text = isLast ? this.#text : this.#certainText();
    if (text === this.#shown && !isLast) return;
    const lines = new Lines(text);
    const readings = this.#read(lines, this.#resumed, isLast);
    const specs = readings.flatMap((reading) => reading.specs);
    showAll(this.container, this.#mounts, specs, this.dresser, this.#notes.section);
    // markdown-it counts from the head on, so a table may be over before it says so.
    if (this.#resumed?.kind === "table" && readings.length > 1 && this.#step(readings[0], lines, true)) {
      return this.#update(isLast);
    }
    let count = isLast ? readings.length : settled(readings.map(({ block }) => block), lines);
    let isNew = this.#define(readings.slice(0, count).flatMap(({ block }) => block.tokens));
    const unsure = readings.findIndex(({ answers }) => this.#definitions.isProvisional(answers));
    if (unsure >= 0 && unsure < count) count = unsure;
    this.#settle(readings, count, lines);
    if (!isLast && count === readings.length - 1 && unsure < 0) {
      isNew = this.#step(readings[count], lines) || isNew;
    }
    if (isNew) this.#readAgain();
    /** @type {Map<string, ElementSpec>} */ const notes = new Map();
    for (const reading of readings) {
      for (const [label, note] of reading.notes) if (!notes.has(label)) notes.set(label, note);
    }
    this.#notes.show(notes);
  }

  #certainText() {
    const text = this.#text;
    const start = text.lastIndexOf("\n") + 1;
    const mark = this.#resumed?.kind === "fence" ? MAY_END_FENCE : MAY_BE_MARK;
    return mark.test(text.slice(start)) ? text.slice(0, start) : text;
  }

  /** @param {Lines} lines @param {Resumed | undefined} resumed @param {boolean} isLast @returns {Reading[]} */
  #read(lines, resumed, isLast) {
    const env = this.#definitions.begin();
    env.hasSources = this.dresser.hasSources;
    this.#phrases.begin(env);
    return blocksOf(lines, env).map((block, i) => {
      /** @type {Map<string, ElementSpec>} */ const notes = new Map();
      const answers = (this.#phrases.answers = new Map());
      const specs = blockSpecs(block.tokens, {
        read: (text) => this.#phrases.read(text),
        note: (label, note) => void (notes.has(label) || notes.set(label, note)),
        isLast,
      });
      if (resumed && i === 0 && specs.length) specs[0] = resumed.restore(specs[0]);
      return { block, specs, answers, notes };
    });
  }

  /** Keeps what they define. @param {Token[]} tokens @returns {boolean} whether that is something */
  #define(tokens) {
    const found = definitionsIn(tokens);
    for (const { kind, label } of found) this.#definitions.keep(kind, label);
    return found.length > 0;
  }

  /** Lets go of the first blocks. @param {Reading[]} readings @param {number} count @param {Lines} lines */
  #settle(readings, count, lines) {
    readings.slice(0, count).forEach((reading, i) => {
      const { block, specs } = reading;
      const resumed = i === 0 ? this.#resumed : undefined;
      const mounts = this.#mounts.splice(0, specs.length);
      const text = lines.slice(block.line, readings[i + 1]?.block.line);
      this.#keepPart(reading, { text, resumed, parent: this.container, mounts, isStep: false });
    });
    if (count > 0) this.#resumed = undefined;
    const next = readings[count]?.block.line;
    const from = next === undefined ? lines.text.length : lines.start(next);
    this.#shown = lines.text.slice(from);
    this.#text = this.#text.slice(from);
  }

  /**
   * Lets go of what of the only block left is settled, though it goes on.
   * @param {Reading} reading @param {Lines} lines @param {boolean} [onlyIfOver]
   * @returns {boolean} whether it is over, or defines something
   */
  #step(reading, lines, onlyIfOver = false) {
    const { block, specs, answers } = reading;
    const found = step(block, specs[0], lines, this.#resumed);
    if (!found || (onlyIfOver && !found.isOver)) return false;
    const { resumed, line, count, tokens, isOver } = found;
    const [mount] = this.#mounts;
    if (resumed.kind === "fence") mount.children[0].children[0].settleText(count);
    else if (count > 0) {
      const { element, children } = resumed.holder(mount);
      const head = resumed.kind === "list" && !this.#resumed ? resumed.head : "";
      const text = head + lines.slice(block.line, line);
      const mounts = children.splice(0, count);
      const labels = definitionsIn(tokens).map(({ label }) => label);
      const notes = new Map([...reading.notes].filter(([label]) => labels.includes(label)));
      const parent = element ?? this.container;
      this.#keepPart({ answers, notes }, { text, resumed, parent, mounts, isStep: true });
    }
    const from = lines.start(line) - lines.start(block.line);
    const head = isOver ? "" : resumed.head;
    this.#text = head + this.#text.slice(from);
    this.#shown = head + this.#shown.slice(from);
    this.#resumed = isOver ? undefined : resumed;
    if (isOver) {
      this.#mounts.shift();
      for (const row of resumed.holder(mount).children.splice(0)) row.node.remove(); // they are none
    }
    return this.#define(tokens) || Boolean(isOver);
  }

  /** @param {Pick<Reading, "answers" | "notes">} reading @param {Omit<Part, "answers" | "labels">} part of its block */
  #keepPart({ answers, notes }, part) {
    const labels = [...notes.keys()].filter((label) => !this.#notes.settled.has(label));
    for (const label of labels) this.#notes.settled.set(label, /** @type {ElementSpec} */ (notes.get(label)));
    if (answers.size) this.#parts.push({ ...part, answers, labels });
  }

  /** Those settled parts for which something is defined now that was not. */
  #readAgain() {
    for (const part of this.#parts) {
      const { text, resumed, parent, mounts, isStep, labels } = part;
      this.#definitions.begin();
      if (this.#definitions.agree(part.answers)) continue;
      const readings = this.#read(new Lines(text), resumed, false);
      const specs = readings.flatMap((reading) => reading.specs);
      const before = mounts[mounts.length - 1]?.node.nextSibling;
      showAll(parent, mounts, isStep && resumed ? resumed.parts(specs[0]) : specs, this.dresser, before);
      part.answers = new Map(readings.flatMap(({ answers }) => [...answers]));
      for (const label of labels) {
        const note = readings.map(({ notes }) => notes.get(label)).find(Boolean);
        if (note) this.#notes.settled.set(label, note);
      }
    }
  }
}

/** @param {Token[]} tokens @returns {{kind: "link" | "note", label: string}[]} */
function definitionsIn(tokens) {
  /** @type {{kind: "link" | "note", label: string}[]} */ const found = [];
  for (const token of tokens) {
    if (token.type === "reference_definition") found.push({ kind: "link", label: labelOf(token) });
    if (token.type === "footnote_reference_open") found.push({ kind: "note", label: labelOf(token) });
  }
  return found;
}

/** @param {string} text @returns {string} as CommonMark reads it */
const clean = (text) => text.replace(/\r\n?/g, "\n").replaceAll("\0", "\ufffd");

/** To a note and back. @param {MouseEvent} event @param {HTMLElement} container */
function follow(event, container) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const address = link?.getAttribute("href");
  if (!address?.startsWith("#")) return;
  event.preventDefault();
  const target = document.getElementById(address.slice(1));
  if (!target || !container.contains(target)) return;
  target.setAttribute("tabindex", "-1");
  target.focus();
}

/**
 * Renders Markdown that arrives in pieces into `container`, whose children it replaces.
 * @param {HTMLElement} container @param {Dresser} [dresser] gives code, tables … what is not in the text
 * @returns {{append: (text: string) => void, end: () => void}}
 */
export function createStream(container, dresser = {}) {
  const stream = new MarkdownStream(container, dresser);
  return { append: (text) => stream.append(text), end: () => stream.finish() };
}

/**
 * Replaces the children of `container` by `text`, rendered.
 * @param {string} text @param {HTMLElement} container @param {Dresser} [dresser]
 */
export function render(text, container, dresser = {}) {
  const stream = new MarkdownStream(container, dresser);
  stream.finish(text);
}
