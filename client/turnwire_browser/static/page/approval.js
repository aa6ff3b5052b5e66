/** The card of a call that waits to be allowed: its input, and Allow, Edit, Deny. Runs nothing. */

import { refusalOf } from "./asking.js";
import { element, setText } from "./element.js";
import { Countdown } from "./frame.js";
import { inputView } from "./input.js";
import { isEnter, takesEscape } from "./keys.js";
import { words } from "./language.js";
import { recall, remember } from "./storage.js";
import { timeLeft } from "./words.js";

/** @typedef {import("../turnwire/fold.js").ToolBlock} ToolBlock */

/**
 * @typedef {(
 *   toolId: string,
 *   decision: "allow" | "deny",
 *   details?: { input?: Record<string, unknown>, reason?: string },
 * ) => Promise<void>} Decide rejects with TurnwireError
 */

const MAX_REASON_CHARACTERS = 4096;

export class ApprovalView {
  #block;
  #decide;
  #always;
  #draft;
  #countdown;
  /** @type {HTMLElement | undefined} where something is being written */
  #field;

  /**
   * @param {ToolBlock} block that waits
   * @param {Decide} decide
   * @param {(tool: string) => void} always no call of this tool is to be asked about any more
   */
  constructor(block, decide, always) {
    this.#block = block;
    this.#decide = decide;
    this.#always = always;
    this.#draft = `input.${block.tool_id}`;
    const left = element("span", { class: "card-time", "aria-hidden": "true" });
    this.input = element("div", {}, inputView(block.input ?? {}));
    this.problem = element("p", { class: "card-problem", role: "alert", hidden: true });
    this.panel = element("div", { class: "card-panel" });
    const title = element("h3", {}, words.card.title);
    this.element = element(
      "div",
      { class: "card", role: "group", "aria-label": words.card.label(block.tool_name) },
      element("div", { class: "card-head" }, title, left),
      this.input,
      this.panel,
      this.problem,
    );
    this.#countdown = new Countdown(left, timeLeft);
    if (block.expires_at) this.#countdown.until(Date.parse(block.expires_at));
    if (recall(this.#draft) === undefined) this.#ask();
    else this.#edit();
  }

  /** @param {boolean} [isOver] whether it no longer waits: then the draft is discarded */
  remove(isOver) {
    if (isOver) remember(this.#draft, "");
    this.#countdown.stop();
    this.element.remove();
  }

  /** @param {"edit" | "deny"} [from] what was left: the focus goes back to its button */
  #ask(from) {
    const { tool_name } = this.#block;
    const box = element("input", { type: "checkbox" });
    const allow = () => {
      if (box.checked) this.#always(tool_name);
      void this.#send("allow");
    };
    const edit = button(words.card.edit, () => this.#edit(true));
    const why = button(words.card.denyWhy, () => this.#deny());
    this.#show(
      button(words.card.allow, allow, "primary"),
      button(words.card.deny, () => this.#send("deny"), "danger"),
      edit,
      why,
      element("label", { class: "card-always" }, box, element("span", {}, words.card.always(tool_name))),
    );
    if (from) (from === "edit" ? edit : why).focus();
  }

  /** @param {boolean} [focuses] */
  #edit(focuses) {
    const before = JSON.stringify(this.#block.input ?? {}, null, 2);
    const field = element("textarea", {
      class: "card-json",
      "aria-label": words.card.json,
      spellcheck: "false",
      rows: Math.min(14, before.split("\n").length + 1),
    });
    field.value = recall(this.#draft) ?? before;
    const allow = () => {
      const input = parse(field.value);
      field.setAttribute("aria-invalid", String(typeof input === "string"));
      if (typeof input === "string") this.#tell(input, field);
      else void this.#send("allow", { input });
    };
    field.addEventListener("input", () => {
      remember(this.#draft, field.value);
      field.removeAttribute("aria-invalid");
      this.#tell("");
    });
    this.#show(
      field,
      button(words.card.allowEdited, allow, "primary"),
      button(words.action.cancel, () => this.#back("edit")),
    );
    this.#writeIn(field, "edit");
    this.input.hidden = true;
    if (focuses) field.focus();
  }

  #deny() {
    const field = element("input", {
      "aria-label": words.card.why,
      placeholder: words.card.whyPlaceholder,
      maxlength: MAX_REASON_CHARACTERS,
      dir: "auto",
    });
    const deny = () => this.#send("deny", { reason: field.value.trim() || undefined });
    field.addEventListener("keydown", (event) => {
      if (isEnter(event)) void deny();
    });
    this.#show(field, button(words.card.deny, deny, "danger"), button(words.action.cancel, () => this.#back("deny")));
    this.#writeIn(field, "deny");
    field.focus();
  }

  /** @param {"edit" | "deny"} from */
  #back(from) {
    remember(this.#draft, "");
    this.#ask(from);
  }

  /** @param {...HTMLElement} parts */
  #show(...parts) {
    this.panel.replaceChildren(...parts);
    this.panel.onkeydown = null;
    this.#field = undefined;
    this.input.hidden = false;
    this.#tell("");
  }

  /**
   * @param {HTMLElement} field
   * @param {"edit" | "deny"} from
   */
  #writeIn(field, from) {
    this.#field = field;
    this.panel.onkeydown = (event) => {
      if (takesEscape(event)) this.#back(from);
    };
    this.element.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {string} problem none: ""
   * @param {HTMLElement} [field] that is to be corrected
   */
  #tell(problem, field) {
    setText(this.problem, problem);
    this.problem.hidden = problem === "";
    field?.focus();
  }

  /**
   * @param {"allow" | "deny"} decision
   * @param {{ input?: Record<string, unknown>, reason?: string }} [details]
   */
  async #send(decision, details = {}) {
    if (this.element.ariaBusy === "true") return;
    this.element.ariaBusy = "true";
    this.#tell("");
    const { tool_id = "" } = this.#block;
    const refusal = await refusalOf(this.#decide(tool_id, decision, details));
    // Taken, it stays as it is until the log tells what was decided, by whomever.
    if (refusal === undefined) return;
    this.element.ariaBusy = "false";
    this.#tell(refusal, this.#field);
  }
}

/**
 * @param {string} text
 * @returns {Record<string, unknown> | string} what is wrong with it
 */
function parse(text) {
  try {
    const value = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? value : words.card.notObject;
  } catch (error) {
    return words.card.notJson(/** @type {Error} */ (error).message);
  }
}

/**
 * @param {string} label
 * @param {() => void} onclick
 * @param {string} [kind]
 */
function button(label, onclick, kind) {
  return element("button", { type: "button", class: kind, onclick }, label);
}
