/** A long text behind a line that opens it; it is only made when somebody does. */

import { copyButton } from "./copy.js";
import { element, setText } from "./element.js";
import { words } from "./language.js";

export class Folded {
  #read;

  /**
   * @param {string} title
   * @param {() => string} read
   */
  constructor(title, read) {
    this.#read = read;
    this.text = element("pre", { class: "tool-text", dir: "auto", tabindex: 0 });
    this.element = element(
      "details",
      { ontoggle: () => this.refresh() },
      element("summary", {}, title),
      element("div", { class: "tool-open" }, this.text, copyButton(words.tool.copy(title), read)),
    );
  }

  /** The text may be another now. */
  refresh() {
    if (this.element.open) setText(this.text, this.#read());
  }
}
