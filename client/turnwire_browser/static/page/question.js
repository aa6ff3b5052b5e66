/** The view of a user's message: its text, its edit in place, and that it waits, where it does. */

import { Editor } from "./editor.js";
import { element, icon, setText } from "./element.js";
import { plain } from "./words.js";

/** @typedef {import("../fold.js").Turn} Turn */

/**
 * @typedef {object} TurnActions What a reader can do with a turn.
 * @property {(turn: Turn) => void} regenerate ask it again
 * @property {(turn: Turn, text: string) => void} edit ask this in its place
 * @property {(turn: Turn) => void} remove take it back, while it waits
 */

export class QuestionView {
  #actions;
  /** @type {Turn | undefined} */
  #turn;
  /** @type {Editor | undefined} */
  #editor;

  /** @param {TurnActions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.bubble = element("div", { class: "bubble", dir: "auto" });
    this.edit = element(
      "button",
      { type: "button", class: "edit", "aria-label": "Edit message", onclick: () => this.#open() },
      icon("edit"),
      element("span", {}, "Edit"),
    );
    const remove = () => this.#turn && this.#actions.remove(this.#turn);
    this.waiting = element(
      "div",
      { class: "queued late", hidden: true },
      element("span", {}, "Queued"),
      element("button", { type: "button", onclick: remove }, "Remove"),
    );
    this.tools = element("div", { class: "question-tools" }, this.edit);
    this.element = element("div", { class: "question" }, this.bubble, this.tools, this.waiting);
  }

  /** @param {Turn} turn */
  update(turn) {
    const last = this.#turn;
    this.#turn = turn;
    if (turn.content !== last?.content) setText(this.bubble, plain(turn.content));
    if (turn.at && turn.at !== last?.at) this.bubble.title = new Date(turn.at).toLocaleString();
    this.waiting.hidden = turn.state !== "queued";
    this.edit.hidden = turn.state === "queued";
  }

  #open() {
    const turn = this.#turn;
    if (!turn || this.#editor) return;
    const close = () => {
      this.#editor?.element.remove();
      this.#editor = undefined;
      this.element.classList.remove("editing");
      this.edit.focus();
    };
    this.#editor = new Editor(turn.turn, plain(turn.content), {
      send: (text) => {
        close();
        this.#actions.edit(this.#turn ?? turn, text);
      },
      leave: close,
    });
    this.element.classList.add("editing");
    this.element.append(this.#editor.element);
    this.#editor.focus();
  }

  /** The text that is being edited and has not been sent. @returns {string | undefined} */
  get unsent() {
    const text = this.#editor?.field.value.trim();
    return text && text !== plain(this.#turn?.content) ? text : undefined;
  }
}
