// What a text defines for all of it, before and behind: the targets of reference links, and notes.
//
// While a text streams, what is settled has been read with the definitions that were known then. So
// every question that markdown-it asks of `env` is written down with its answer: where an answer has
// changed, that part of the text is to be read again.

/** @typedef {import("markdown-it").Env} Env */
/** @typedef {Map<string, string>} Answers by the question: what was found, "" where nothing was */

const LINK = "link ";
const NOTE = "note ";

/** @param {unknown} found @returns {string} */
const inWords = (found) =>
  typeof found === "object" && found !== null && "href" in found && "title" in found
    ? `${found.href}\n${found.title}`
    : found === undefined ? "" : "defined";

export class Definitions {
  /** @type {Map<string, unknown>} for good, by the question that they answer */
  #known = new Map();
  /** @type {Map<string, unknown>} those of the text that is being read */
  #found = new Map();
  /** @type {Answers | undefined} where questions are written down */
  #asked;

  /** @returns {Env} for reading a text; what an earlier one found and was not kept is forgotten */
  begin() {
    this.#found = new Map();
    const references = /** @type {Env["references"]} */ (this.#table(LINK));
    return { references, footnotes: { refs: this.#table(NOTE), list: [] } };
  }

  /**
   * @template Result
   * @param {() => Result} read asks
   * @returns {{result: Result, answers: Answers}}
   */
  listen(read) {
    const before = this.#asked;
    /** @type {Answers} */ const answers = new Map();
    this.#asked = answers;
    try {
      return { result: read(), answers };
    } finally {
      this.#asked = before;
    }
  }

  /** @param {Answers} answers @returns {boolean} whether asking again would give the same */
  agree(answers) {
    for (const [question, answer] of answers) {
      if (inWords(this.#answer(question)) !== answer) return false;
    }
    return true;
  }

  /** @param {Answers} answers @returns {boolean} whether one rests on what may yet change */
  isProvisional(answers) {
    for (const [question, answer] of answers) {
      if (answer && !this.#known.has(question)) return true;
    }
    return false;
  }

  /**
   * Keeps what was found. @param {"link" | "note"} kind @param {string} label as in the token
   * @returns {string} the question that it answers
   */
  keep(kind, label) {
    const question = kind === "link" ? LINK + label : `${NOTE}:${label}`;
    if (!this.#known.has(question)) this.#known.set(question, this.#found.get(question));
    return question;
  }

  /** @param {string} question */
  #answer(question) {
    return this.#known.has(question) ? this.#known.get(question) : this.#found.get(question);
  }

  /** An object whose properties are asked for and set. @param {string} prefix */
  #table(prefix) {
    return new Proxy(/** @type {Record<string, unknown>} */ ({}), {
      get: (_, label) => {
        const question = prefix + String(label);
        const found = this.#answer(question);
        this.#asked?.set(question, inWords(found));
        return found;
      },
      // markdown-it writes the first definition of a label only; the numbers of notes are not used.
      set: (_, label, value) => {
        const question = prefix + String(label);
        if (this.#answer(question) === undefined) this.#found.set(question, value);
        return true;
      },
    });
  }
}
