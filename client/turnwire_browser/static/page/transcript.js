/** The column of turns, then the messages still on their way; draws only what has changed. */

import { element, setText } from "./element.js";
import { TurnView } from "./turn.js";
import { explain } from "./words.js";

/** @typedef {import("../fold.js").Turn} Turn */
/** @typedef {import("./outbox.js").Letter} Letter */

/**
 * @typedef {object} Actions
 * @property {(text: string) => void} again send this text as a new message
 * @property {(key: string) => void} retry send that message once more
 * @property {(key: string) => void} takeBack put that message back where it was written
 */

export class Transcript {
  /** @type {readonly Turn[]} */
  #turns = [];
  /** @type {readonly Letter[]} */
  #letters = [];
  /** @type {Map<string, TurnView>} */
  #views = new Map();

  /**
   * @param {HTMLElement} column
   * @param {Actions} actions
   */
  constructor(column, actions) {
    this.actions = actions;
    this.turns = element("div", { class: "turns" });
    this.letters = element("div", { class: "turns letters" });
    this.notice = element("div", { class: "notice", hidden: true });
    column.replaceChildren(this.notice, this.turns, this.letters);
  }

  /**
   * @param {readonly Turn[]} turns
   * @param {readonly Letter[]} letters
   * @param {boolean} live whether what is new happens now
   */
  update(turns, letters, live) {
    if (turns !== this.#turns) this.#updateTurns(turns, live);
    if (letters !== this.#letters) this.#updateLetters(letters);
  }

  /**
   * What to say where there are no turns: a greeting, that it loads, why it cannot be opened.
   *
   * @param {"none" | "greeting" | "loading" | { code?: string, message?: string }} what
   */
  say(what) {
    const name = typeof what === "string" ? what : `closed-${what.code}`;
    if (this.notice.dataset.name === name) return;
    this.notice.dataset.name = name;
    this.notice.hidden = what === "none";
    if (what === "greeting") {
      this.notice.replaceChildren(
        element("p", { class: "greeting" }, "What would you like to know?"),
        element("p", {}, "Ask a question, paste a text, or think something through."),
      );
    } else if (what === "loading") {
      this.notice.replaceChildren(element("p", { class: "late" }, "Loading the conversation…"));
    } else if (typeof what === "object") {
      const { title, remedy } = explain(what.code, what.message);
      this.notice.replaceChildren(
        element("p", { class: "greeting" }, title),
        element("p", {}, remedy),
      );
    }
  }

  /** Leave the page to another transcript. */
  close() {
    for (const view of this.#views.values()) view.remove();
  }

  /**
   * @param {readonly Turn[]} turns
   * @param {boolean} live
   */
  #updateTurns(turns, live) {
    const before = this.#turns;
    this.#turns = turns;
    turns.forEach((turn, index) => {
      if (turn === before[index]) return;
      let view = this.#views.get(turn.turn);
      if (!view) {
        view = new TurnView((text) => this.actions.again(text));
        this.#views.set(turn.turn, view);
      }
      view.update(turn, live);
      const place = this.turns.children[index] ?? null;
      if (place !== view.element) this.turns.insertBefore(view.element, place);
    });
    if (this.#views.size === turns.length) return;
    const kept = new Set(turns.map((turn) => turn.turn));
    for (const [id, view] of this.#views) {
      if (kept.has(id)) continue;
      view.remove();
      this.#views.delete(id);
    }
  }

  /** @param {readonly Letter[]} letters */
  #updateLetters(letters) {
    this.#letters = letters;
    this.letters.replaceChildren(...letters.map((letter) => this.#letter(letter)));
  }

  /** @param {Letter} letter */
  #letter(letter) {
    const { key, content, state } = letter;
    const bubble = element("div", { class: "bubble", dir: "auto" }, content);
    const status = element("div", { class: "delivery" });
    if (state === "sending") {
      status.append(element("span", { class: "late" }, "Sending…"));
    } else {
      const { title, remedy } = explain(letter.code, letter.message);
      const words = element("span", {});
      setText(words, `Not sent. ${title} ${remedy}`.trim());
      const retry = () => this.actions.retry(key);
      const takeBack = () => this.actions.takeBack(key);
      status.append(
        words,
        element("button", { type: "button", onclick: retry }, "Try again"),
        element("button", { type: "button", onclick: takeBack }, "Edit"),
      );
    }
    return element("article", { class: "turn", "data-state": state }, bubble, status);
  }
}
