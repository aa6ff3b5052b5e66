/** The place of a tool call in an answer: its view, as soon as that has been loaded. */

import { element } from "./element.js";
import { later } from "./later.js";

/** @typedef {import("./tool.js").ToolView} ToolView */

export class CallView {
  element = element("div", { hidden: true });
  /** @type {ToolView | undefined} */
  #view;
  /** @type {Parameters<ToolView["update"]> | undefined} */
  #told;
  #isRemoved = false;

  /** @param {import("./tool.js").CallActions} actions */
  constructor(actions) {
    later(({ ToolView }) => {
      if (this.#isRemoved) return;
      this.#view = new ToolView(actions);
      if (this.#told) this.#view.update(...this.#told);
      this.element.replaceWith(this.#view.element);
      this.element = this.#view.element;
    });
  }

  /** @param {Parameters<ToolView["update"]>} told */
  update(...told) {
    this.#told = told;
    this.#view?.update(...told);
  }

  /** Give up what still ticks and what is held. */
  remove() {
    this.#isRemoved = true;
    this.#view?.remove();
    this.element.remove();
  }
}
