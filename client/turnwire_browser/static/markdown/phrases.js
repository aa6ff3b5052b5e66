// What is inside lines, read as often as it grows: what is unchanged is not read again.
//
// A text longer than PART is read in parts, each of its own, so an update costs no more than a part.
// Where it is cut depends on nothing but the PART characters from the last cut on: a text that
// streams is cut where the whole text is. The cut goes through no element that begins well before it.

import { phraseSpecs } from "./elements.js";
import { inlineTokens } from "./grammar.js";

/** @typedef {import("markdown-it").Env} Env */
/** @typedef {import("markdown-it").Token} Token */
/** @typedef {import("./definitions.js").Answers} Answers */
/** @typedef {import("./definitions.js").Definitions} Definitions */
/** @typedef {import("./mount.js").Spec} Spec */
/** @typedef {{specs: Spec[], answers: Answers}} Phrase */

const PART = 3000;
const NEAREST = PART / 2;
const FARTHEST = (PART * 3) / 4; // what begins there has the rest of the part to end
const SENTENCE = /(?<=\S[.!?:] )(?=[^\s])|(?<=[。！？])(?=\S)/g;
const WORD = /(?<=\S )(?=\S)/g;
const TRIES = 4;

/** @param {Token[]} tokens @returns {string} what they say; neighbouring texts are one */
const said = (tokens) =>
  tokens
    .map(({ type, tag, nesting, content, attrs }) =>
      type === "text" ? content : `\0${type} ${tag} ${nesting} ${content} ${attrs}\0`)
    .join("");

/** @param {string} part of PART characters @returns {number} where to cut it */
function place(part) {
  const whole = said(inlineTokens(part, {}));
  const near = part.slice(0, FARTHEST);
  for (const pattern of [SENTENCE, WORD]) {
    const places = [...near.matchAll(pattern)].map(({ index }) => index).filter((at) => at >= NEAREST);
    for (const at of places.slice(-TRIES).reverse()) {
      const [a, b] = [part.slice(0, at), part.slice(at)];
      if (said(inlineTokens(a, {})) + said(inlineTokens(b, {})) === whole) return at;
    }
    if (pattern === WORD && places.length) return places[places.length - 1];
  }
  return /[\ud800-\udbff]$/.test(near) ? FARTHEST - 1 : FARTHEST;
}

export class Phrases {
  /** @type {Answers} to which reading adds; whoever reads begins a new one */
  answers = new Map();
  /** @type {Map<string, Phrase>} */ #read = new Map();
  /** @type {Map<string, Phrase>} of the update before */ #before = new Map();
  /** @type {Map<string, number>} */ #places = new Map();
  /** @type {Map<string, number>} of the update before */ #placesBefore = new Map();
  /** @type {Env} */ #env = {};

  /** @param {Definitions} definitions */
  constructor(definitions) {
    this.definitions = definitions;
  }

  /** Begins another reading of the text. @param {Env} env */
  begin(env) {
    this.#env = env;
    this.#before = this.#read;
    this.#read = new Map();
    this.#placesBefore = this.#places;
    this.#places = new Map();
  }

  /** @param {string} text @returns {Spec[]} the same objects as before, for what is the same */
  read(text) {
    if (text.length <= PART) return this.#part(text);
    /** @type {Spec[]} */ const specs = [];
    let rest = text;
    while (rest.length > PART) {
      const at = this.#place(rest.slice(0, PART));
      specs.push(...this.#part(rest.slice(0, at)));
      rest = rest.slice(at);
    }
    return [...specs, ...this.#part(rest)];
  }

  /** @param {string} part @returns {number} */
  #place(part) {
    const at = this.#places.get(part) ?? this.#placesBefore.get(part) ?? place(part);
    this.#places.set(part, at);
    return at;
  }

  /** @param {string} text @returns {Spec[]} */
  #part(text) {
    const known = this.#read.get(text) ?? this.#before.get(text);
    const phrase = known && this.definitions.agree(known.answers) ? known : this.#parse(text);
    this.#read.set(text, phrase);
    for (const [question, answer] of phrase.answers) this.answers.set(question, answer);
    return phrase.specs;
  }

  /** @param {string} text @returns {Phrase} */
  #parse(text) {
    const { result, answers } = this.definitions.listen(() => inlineTokens(text, this.#env));
    return { specs: phraseSpecs(result), answers };
  }
}
