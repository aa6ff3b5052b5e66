/** One conversation in the side bar: its link, and what can be done with it; knows no service. */

import { element, icon, setText } from "./element.js";
import { isEnter, takesEscape } from "./keys.js";
import { words } from "./language.js";

/** @typedef {import("./library.js").Head} Head */
/** @typedef {import("./library.js").Format} Format */

/**
 * @typedef {object} Actions
 * @property {(entry: EntryView) => void} opens its menu is about to open
 * @property {(head: Head, title: string) => Promise<void>} rename
 * @property {(head: Head) => Promise<void>} remove
 * @property {(head: Head, format: Format) => Promise<void>} save
 */

const MAX_TITLE = 200;

export class EntryView {
  #head;
  #actions;
  isRenaming = false;
  /** @type {boolean | undefined} undefined: nothing is shown yet */
  #isCurrent;

  /**
   * @param {Head} head
   * @param {Actions} actions
   */
  constructor(head, actions) {
    this.#head = head;
    this.#actions = actions;
    this.link = element("a", { class: "entry-link", dir: "auto" });
    this.more = element(
      "button",
      { type: "button", class: "entry-more", "aria-expanded": "false", onclick: () => this.#toggle() },
      icon("more"),
    );
    this.row = element("div", { class: "entry-row" }, this.link, this.more);
    this.panel = element("div", { class: "entry-panel", hidden: true });
    /** @param {KeyboardEvent} event */
    const leave = (event) => {
      if (!this.panel.hidden && takesEscape(event)) this.close(true);
    };
    this.element = element("div", { class: "entry", role: "listitem", onkeydown: leave }, this.row, this.panel);
    this.update(head, false);
  }

  /**
   * @param {Head} head
   * @param {boolean} isCurrent whether it is on the screen
   */
  update(head, isCurrent) {
    const isSame = this.#isCurrent === isCurrent && this.#head.title === head.title;
    this.#head = head;
    // Of thousands, nearly all are as they were.
    if (isSame) return;
    this.#isCurrent = isCurrent;
    const title = head.title || words.side.untitled;
    setText(this.link, title);
    this.link.title = title;
    this.link.href = `#${encodeURIComponent(head.conversation)}`;
    this.more.setAttribute("aria-label", words.side.options(title));
    this.element.classList.toggle("current", isCurrent);
    if (isCurrent) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
  }

  /**
   * Close the menu.
   *
   * @param {boolean} [returns] whether the focus goes back to its button
   */
  close(returns = false) {
    this.panel.hidden = true;
    this.more.setAttribute("aria-expanded", "false");
    if (returns) this.more.focus();
  }

  #toggle() {
    if (!this.panel.hidden) return this.close();
    this.#actions.opens(this);
    this.#offer(
      this.#button(words.side.rename, () => this.#rename()),
      this.#button(words.side.saveMarkdown, () => this.#save("markdown")),
      this.#button(words.side.saveJson, () => this.#save("json")),
      this.#button(words.side.remove, () => this.#confirm(), "danger"),
    );
  }

  #confirm() {
    const question = element("p", {}, words.side.removeForGood);
    const remove = this.#button(
      words.side.removeNow,
      () => this.#try(() => this.#actions.remove(this.#head), words.side.notRemoved),
      "danger",
    );
    const keep = this.#button(words.side.keep, () => this.close(true));
    this.#offer(question, remove, keep);
    keep.focus();
  }

  /** @param {Format} format */
  #save(format) {
    this.#try(() => this.#actions.save(this.#head, format), words.side.notSaved);
  }

  #rename() {
    const before = this.#head.title;
    const field = element("input", {
      class: "entry-field",
      "aria-label": words.side.title,
      maxlength: MAX_TITLE,
      dir: "auto",
      value: before,
    });
    const finish = (/** @type {boolean} */ keeps) => {
      if (!this.isRenaming) return;
      this.isRenaming = false;
      const title = field.value.trim();
      const hadFocus = document.activeElement === field;
      field.replaceWith(this.link);
      if (hadFocus) this.link.focus();
      if (!keeps || !title || title === before) return;
      setText(this.link, title);
      this.#try(() => this.#actions.rename(this.#head, title), words.side.notRenamed);
    };
    field.addEventListener("keydown", (event) => {
      if (isEnter(event)) finish(true);
      else if (takesEscape(event)) finish(false);
    });
    field.addEventListener("blur", () => finish(true));
    this.close();
    this.isRenaming = true;
    this.link.replaceWith(field);
    field.focus();
    field.select();
  }

  /**
   * @param {() => Promise<void>} action
   * @param {string} failure what to say when it fails
   */
  async #try(action, failure) {
    this.close(this.panel.contains(document.activeElement));
    try {
      await action();
    } catch {
      setText(this.link, this.#head.title);
      this.#offer(element("p", { role: "alert" }, words.failure.tryLater(failure)));
    }
  }

  /** @param {...HTMLElement} parts */
  #offer(...parts) {
    this.panel.replaceChildren(...parts);
    this.panel.hidden = false;
    this.more.setAttribute("aria-expanded", "true");
  }

  /**
   * @param {string} label
   * @param {() => void} onclick
   * @param {string} [kind]
   */
  #button(label, onclick, kind) {
    return element("button", { type: "button", class: kind, onclick }, label);
  }
}
