/** The panel of the settings: language, colours, keys, and what goes with every message. */

import { Dialog } from "./dialog.js";
import { element } from "./element.js";
import { words } from "./language.js";
import { LANGUAGES } from "./languages.js";

/** @typedef {import("./settings.js").Settings} Settings */
/** @typedef {import("./settings.js").Values} Values */

export class SettingsPanel {
  #settings;
  #mayPrompt;
  /** @type {Dialog | undefined} made when it is first opened */
  #dialog;
  /** @type {HTMLElement | undefined} */
  #prompt;

  /**
   * @param {Settings} settings
   * @param {() => boolean} mayPrompt whether the server lets clients give a system prompt
   */
  constructor(settings, mayPrompt) {
    this.#settings = settings;
    this.#mayPrompt = mayPrompt;
  }

  open() {
    this.#dialog ??= new Dialog("settings-title", words.settings.title, ...this.#fields());
    if (this.#prompt) this.#prompt.hidden = !this.#mayPrompt();
    this.#dialog.open();
  }

  #fields() {
    const { settings } = words;
    const languages = Object.entries(LANGUAGES).map(([tag, { name }]) => [tag, name]);
    const usage = element("input", {
      type: "checkbox",
      onchange: () => this.#settings.set("usage", usage.checked ? "shown" : "hidden"),
    });
    usage.checked = this.#settings.get("usage") === "shown";
    const prompt = element("textarea", {
      rows: 4,
      dir: "auto",
      maxlength: 100_000,
      "aria-describedby": "prompt-note",
      onchange: () => this.#settings.set("system", prompt.value.trim()),
    });
    prompt.value = this.#settings.get("system");
    this.#prompt = element(
      "div",
      { class: "field field-tall" },
      element("label", {}, element("span", {}, settings.prompt), prompt),
      element("small", { id: "prompt-note" }, settings.promptNote),
    );
    const language = this.#choice(settings.language, "language", [["", settings.asBrowser], ...languages]);
    // What is on the screen is in the old one. Drafts and messages on their way outlive the reload.
    language.addEventListener("change", () => location.reload());
    return [
      language,
      this.#choice(settings.theme, "theme", [
        ["system", settings.system],
        ["light", settings.light],
        ["dark", settings.dark],
      ]),
      this.#choice(settings.sendKey, "send_key", [
        ["enter", "Enter"],
        ["control", words.composer.hintControl[0] ?? ""],
      ]),
      element("label", { class: "field field-check" }, usage, element("span", {}, settings.usage)),
      this.#prompt,
    ];
  }

  /**
   * @param {string} label
   * @param {"language" | "theme" | "send_key"} name
   * @param {string[][]} options values and what they are called
   */
  #choice(label, name, options) {
    const set = () => this.#settings.set(name, /** @type {any} */ (select.value));
    const select = element("select", { onchange: set });
    for (const [value = "", called = ""] of options) select.append(element("option", { value }, called));
    select.value = this.#settings.get(name);
    return element("label", { class: "field" }, element("span", {}, label), select);
  }
}
