/** The view of a user's message: what it says, its edit in place, and that it waits, where it does. */

import { AttachmentsView } from "./attachment.js";
import { attachmentsOf, contentOf, plain } from "./content.js";
import { saying } from "./bubble.js";
import { Editor } from "./editor.js";
import { element, icon } from "./element.js";
import { spoken, words } from "./language.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("../turnwire/messages.js").Content} Content */

/**
 * @typedef {object} TurnActions What a reader can do with a turn.
 * @property {(turn: FoldedTurn) => void} regenerate ask it again
 * @property {(turn: FoldedTurn) => readonly FoldedTurn[]} earlier the answers to the same message that it took the place of
 * @property {() => void} proceed ask to go on where the last answer broke off
 * @property {(turn: FoldedTurn, content: Content) => void} edit ask this in its place
 * @property {(turn: FoldedTurn) => void} remove take it back, while it waits
 */

export class QuestionView {
  #actions;
  /** @type {FoldedTurn | undefined} */
  #turn;
  /** @type {Editor | undefined} */
  #editor;

  /**
   * @param {TurnActions} actions
   * @param {import("./files.js").Files} files
   */
  constructor(actions, files) {
    this.#actions = actions;
    this.attachments = new AttachmentsView(files);
    this.bubble = element("div", { class: "bubble", dir: "auto" });
    // Not before somebody asks: the first date takes the browser 10 ms.
    this.bubble.onpointerenter = () => {
      if (this.#turn?.at) this.bubble.title = new Date(this.#turn.at).toLocaleString(spoken);
    };
    this.edit = element(
      "button",
      { type: "button", class: "edit", "aria-label": words.turn.edit, onclick: () => this.#open() },
      icon("edit"),
      element("span", {}, words.action.edit),
    );
    const remove = () => this.#turn && this.#actions.remove(this.#turn);
    this.waiting = element(
      "div",
      { class: "queued late", hidden: true },
      element("span", {}, words.turn.queued),
      element("button", { type: "button", onclick: remove }, words.action.remove),
    );
    this.tools = element("div", { class: "question-tools" }, this.edit);
    this.element = element(
      "div",
      { class: "question" },
      this.attachments.element,
      this.bubble,
      this.tools,
      this.waiting,
    );
  }

  /** @param {FoldedTurn} turn */
  update(turn) {
    const last = this.#turn;
    this.#turn = turn;
    if (turn.content !== last?.content) {
      const text = plain(turn.content);
      this.bubble.replaceChildren(...saying(text));
      this.bubble.hidden = text === "";
      this.attachments.update(attachmentsOf(turn.content));
    }
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
    const attachments = attachmentsOf(turn.content);
    this.#editor = new Editor(turn.turn, plain(turn.content), {
      mayBeEmpty: attachments.length > 0,
      send: (text) => {
        close();
        this.#actions.edit(this.#turn ?? turn, contentOf(text, attachments));
      },
      leave: close,
    });
    this.element.classList.add("editing");
    this.element.append(this.#editor.element);
    this.#editor.focus();
  }

  /** What is being edited and has not been sent. @returns {Content | undefined} */
  get unsent() {
    const text = this.#editor?.field.value.trim();
    if (!text || text === plain(this.#turn?.content)) return undefined;
    return contentOf(text, attachmentsOf(this.#turn?.content));
  }

  /** Give up what is held. */
  remove() {
    this.attachments.remove();
  }
}
