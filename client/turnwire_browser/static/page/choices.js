/** What the user chooses for the next answers, as far as the server lets clients choose: model, thinking, effort. */

import { element } from "./element.js";
import { words } from "./language.js";

/** @typedef {import("../turnwire/messages.js").Welcome} Welcome */
/** @typedef {import("../turnwire/turnwire.js").SendOptions} SendOptions */
/** @typedef {import("./settings.js").Settings} Settings */

/**
 * The options that go with a message.
 *
 * @param {Settings} settings
 * @param {Welcome | undefined} welcome none: nothing is known of the server yet, and nothing asked of it
 * @returns {Pick<SendOptions, "model" | "system" | "thinking" | "effort">}
 */
export function chosen(settings, welcome) {
  const [model, system, thinking] = [settings.get("model"), settings.get("system"), settings.get("thinking")];
  const effort = settings.get("effort");
  return {
    ...(model && may(welcome, "model") && welcome?.models.includes(model) && { model }),
    ...(system && may(welcome, "system") && { system }),
    ...(thinking && may(welcome, "thinking") && { thinking: THINKING[thinking] }),
    ...(effort && may(welcome, "effort") && { effort }),
  };
}

/**
 * @param {Welcome | undefined} welcome
 * @param {string} option a field of `send`
 */
export function may(welcome, option) {
  return welcome?.client_options?.includes(option) ?? false;
}

/** @type {Record<"adaptive" | "disabled", import("../turnwire/messages.js").ThinkingOption>} */
const THINKING = { adaptive: { type: "adaptive", display: "summarized" }, disabled: { type: "disabled" } };

/** The pickers below the message box. */
export class ChoicesView {
  #settings;
  #place;
  /** What the server offers, as shown now. */
  #offer = "";

  /**
   * @param {HTMLElement} place
   * @param {Settings} settings
   */
  constructor(place, settings) {
    this.#place = place;
    this.#settings = settings;
  }

  /** @param {Welcome | undefined} welcome */
  update(welcome) {
    if (!welcome) return;
    const [first, ...others] = may(welcome, "model") ? welcome.models : [];
    const thinks = may(welcome, "thinking");
    const tries = may(welcome, "effort");
    const offer = JSON.stringify([first, others, thinks, tries]);
    if (offer === this.#offer) return;
    this.#offer = offer;
    const { composer } = words;
    const pickers = [];
    if (first && others.length > 0) {
      const models = others.map((name) => [name, name]);
      pickers.push(this.#picker(composer.model, "model", [["", first], ...models]));
    }
    if (thinks) {
      pickers.push(
        this.#picker(composer.thinking, "thinking", [
          ["", composer.thinkingUsual],
          ["adaptive", composer.thinkingAdaptive],
          ["disabled", composer.thinkingOff],
        ]),
      );
    }
    if (tries) {
      const levels = Object.entries(words.effort).map(([level, called]) => [level, composer.effortOf(called)]);
      pickers.push(this.#picker(composer.effort, "effort", [["", composer.effortUsual], ...levels]));
    }
    this.#place.replaceChildren(...pickers);
    this.#place.hidden = pickers.length === 0;
  }

  /**
   * @param {string} label
   * @param {"model" | "thinking" | "effort"} name
   * @param {string[][]} options values and what they are called
   */
  #picker(label, name, options) {
    const set = () => this.#settings.set(name, /** @type {any} */ (select.value));
    const select = element("select", { "aria-label": label, onchange: set });
    for (const [value = "", called = ""] of options) select.append(element("option", { value }, called));
    select.value = this.#settings.get(name);
    // A model that is not to be had any more.
    if (select.selectedIndex < 0) select.selectedIndex = 0;
    return select;
  }
}
