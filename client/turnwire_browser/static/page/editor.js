/** A user's message being edited in its place; what is written survives leaving and coming back. */

import { element } from "./element.js";
import { sends, takesEscape } from "./keys.js";
import { words } from "./language.js";
import { recall, remember } from "./storage.js";

export class Editor {
  #draft;

  /**
   * @param {string} turn whose message it is; names the draft
   * @param {string} text
   * @param {{ mayBeEmpty: boolean, send(text: string): void, leave(): void }} options
   *   `mayBeEmpty`: something is attached, which is enough
   */
  constructor(turn, text, { mayBeEmpty, send, leave }) {
    this.#draft = `edit.${turn}`;
    this.field = element("textarea", { rows: 2, dir: "auto", "aria-label": words.turn.editor });
    this.field.value = recall(this.#draft) ?? text;
    const finish = () => {
      const edited = this.field.value.trim();
      if (!edited && !mayBeEmpty) return;
      remember(this.#draft, "");
      send(edited);
    };
    const cancel = () => {
      remember(this.#draft, "");
      leave();
    };
    this.field.addEventListener("keydown", (event) => {
      if (takesEscape(event)) cancel();
      else if (sends(event)) {
        event.preventDefault();
        finish();
      }
    });
    this.field.addEventListener("input", () => {
      remember(this.#draft, this.field.value);
      this.#fit();
    });
    /** @param {SubmitEvent} event */
    const onsubmit = (event) => {
      event.preventDefault();
      finish();
    };
    this.element = element(
      "form",
      { class: "editor", onsubmit },
      this.field,
      element(
        "div",
        { class: "editor-row" },
        element("small", {}, words.turn.editorNote),
        element("button", { type: "button", onclick: cancel }, words.action.cancel),
        element("button", { type: "submit", class: "primary" }, words.action.send),
      ),
    );
  }

  /** Once it is in the page. */
  focus() {
    this.#fit();
    this.field.focus();
    this.field.setSelectionRange(this.field.value.length, this.field.value.length);
  }

  #fit() {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}
