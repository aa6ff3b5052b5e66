/** The way to what was said earlier: brings it before the reader has scrolled there; knows no conversation. */

import { TurnwireError } from "../turnwire/turnwire.js";
import { element, setText } from "./element.js";
import { words } from "./language.js";

const AHEAD = "1600px 0px 0px";

export class Earlier {
  #load;
  #seen;
  #isLoading = false;

  /**
   * @param {HTMLElement} scroller
   * @param {() => Promise<void>} load brings some; once drawn, `moved` is called
   */
  constructor(scroller, load) {
    this.#load = load;
    this.button = element("button", { type: "button", onclick: () => this.#bring() }, words.transcript.earlier);
    this.element = element("div", { class: "earlier", hidden: true }, this.button);
    const look = (/** @type {IntersectionObserverEntry[]} */ entries) => {
      if (entries.at(-1)?.isIntersecting) this.#bring();
    };
    this.#seen = new IntersectionObserver(look, { root: scroller, rootMargin: AHEAD });
    this.#seen.observe(this.element);
  }

  /** @param {boolean} isThere whether there is anything earlier */
  show(isThere) {
    if (this.element.hidden === isThere) this.element.hidden = !isThere;
  }

  /** What was brought is drawn: if that did not reach far enough, more is wanted. */
  moved() {
    // An observer tells of changes only, and of what it is new to.
    this.#seen.unobserve(this.element);
    this.#seen.observe(this.element);
  }

  /** Leave the page. */
  close() {
    this.#seen.disconnect();
  }

  async #bring() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    setText(this.button, words.transcript.loadingEarlier);
    try {
      await this.#load();
      setText(this.button, words.transcript.earlier);
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      setText(this.button, words.transcript.earlierFailed);
    } finally {
      this.#isLoading = false;
    }
  }
}
