/** The strip that says how the connection is, and what the user can do about it. */

import { element } from "./element.js";
import { Countdown } from "./frame.js";
import { words } from "./language.js";
import { explain } from "./words.js";

/** @typedef {import("../turnwire/turnwire.js").WireSnapshot} WireSnapshot */

export class Banner {
  /** @type {WireSnapshot | undefined} */
  #snapshot;
  /** @type {Countdown | undefined} */
  #countdown;
  #isBad = false;

  /**
   * @param {HTMLElement} strip
   * @param {{ reconnect(): void, restart(): void, authorise(token: string): void }} actions
   *   try now instead of later; begin anew after the end; begin anew with this token
   */
  constructor(strip, actions) {
    this.strip = strip;
    this.actions = actions;
  }

  /**
   * @param {WireSnapshot} snapshot
   * @param {boolean} isBad whether the server cannot save anything
   */
  update(snapshot, isBad) {
    if (snapshot === this.#snapshot && isBad === this.#isBad) return;
    this.#snapshot = snapshot;
    this.#isBad = isBad;
    this.#countdown?.stop();
    this.strip.dataset.state = snapshot.state;
    const parts = this.#parts(snapshot);
    this.strip.hidden = parts.length === 0;
    this.strip.replaceChildren(...parts);
  }

  /**
   * @param {WireSnapshot} snapshot
   * @returns {HTMLElement[]}
   */
  #parts({ state, error, retryAt }) {
    switch (state) {
      case "open":
        return this.#isBad ? [element("span", {}, words.banner.storage)] : [];
      case "connecting":
        return [element("span", { class: "late" }, words.banner.connecting)];
      case "offline":
        return [element("span", {}, words.banner.offline)];
      case "reconnecting":
        return [
          this.#countingDown(retryAt),
          this.#button(words.banner.retry, () => this.actions.reconnect()),
        ];
      case "closed":
        if (error?.code === "unauthorized") return [this.#tokenForm()];
        return [
          element("span", {}, words.banner.disconnected, explain(error?.code, error?.message).title),
          this.#button(words.banner.again, () => this.actions.restart()),
        ];
    }
  }

  /** @param {number | undefined} retryAt milliseconds since the epoch; absent: under way */
  #countingDown(retryAt) {
    // Seconds that count are not news: a screen reader is told once.
    const seconds = element("span", { "aria-hidden": "true", class: "seconds" });
    this.#countdown = new Countdown(seconds, (left) => (left > 0 ? words.banner.inSeconds(left) : ""));
    this.#countdown.until(retryAt ?? 0);
    return element("span", {}, words.banner.reconnecting, seconds);
  }

  /**
   * @param {string} label
   * @param {() => void} onclick
   */
  #button(label, onclick) {
    return element("button", { type: "button", onclick }, label);
  }

  #tokenForm() {
    const field = element("input", {
      type: "password",
      name: "token",
      placeholder: words.banner.token,
      "aria-label": words.banner.token,
      autocomplete: "off",
      required: true,
    });
    /** @param {SubmitEvent} event */
    const submit = (event) => {
      event.preventDefault();
      if (field.value.trim()) this.actions.authorise(field.value.trim());
    };
    return element(
      "form",
      { class: "token-form", onsubmit: submit },
      element("span", {}, element("strong", {}, words.banner.notAuthorised), words.banner.enterToken),
      field,
      element("button", { type: "submit" }, words.banner.connect),
    );
  }
}
