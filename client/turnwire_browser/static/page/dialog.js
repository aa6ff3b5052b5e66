/** A card over the page: the browser's own dialog, with a title and the ways out of it. */

import { element, icon } from "./element.js";
import { words } from "./language.js";

export class Dialog {
  /**
   * @param {string} id of its heading
   * @param {string} title
   * @param {...Node} content
   */
  constructor(id, title, ...content) {
    const close = () => this.element.close();
    this.element = element(
      "dialog",
      { class: "dialog", "aria-labelledby": id },
      element(
        "div",
        { class: "dialog-head" },
        element("h2", { id }, title),
        element(
          "button",
          { type: "button", class: "dialog-close", "aria-label": words.action.close, onclick: close },
          icon("close"),
        ),
      ),
      ...content,
    );
    // What is pressed in here is not meant for the page behind it: Escape would stop the answer.
    this.element.addEventListener("keydown", (event) => event.stopPropagation());
    this.element.addEventListener("click", ({ target }) => {
      if (target === this.element) close();
    });
    document.body.append(this.element);
  }

  open() {
    if (!this.element.open) this.element.showModal();
  }
}
