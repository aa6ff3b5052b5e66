/** The form of a call that the user answers in this tab: choices, a text, or no answer. Runs nothing. */

import { questionOf, refusalOf } from "./asking.js";
import { element, setText } from "./element.js";
import { inputView } from "./input.js";
import { sends, takesEscape } from "./keys.js";
import { words } from "./language.js";
import { recall, remember } from "./storage.js";

/** @typedef {import("../turnwire/fold.js").ToolBlock} ToolBlock */

/**
 * @typedef {(toolId: string, content: string, isError: boolean) => Promise<void>} Answer
 *   rejects with TurnwireError
 */

const DECLINED = "The user did not want to answer.";

export class InquiryView {
  #block;
  #answer;
  #draft;

  /**
   * @param {ToolBlock} block that runs here
   * @param {Answer} answer
   */
  constructor(block, answer) {
    this.#block = block;
    this.#answer = answer;
    this.#draft = `answer.${block.tool_id}`;
    const asked = questionOf(block);
    const label = asked?.choices.length ? words.card.ownWords : words.card.yourAnswer;
    this.field = element("textarea", { rows: 1, dir: "auto", "aria-label": label, placeholder: label });
    this.field.value = recall(this.#draft) ?? "";
    this.field.addEventListener("input", () => {
      remember(this.#draft, this.field.value);
      this.#tell("");
    });
    this.field.addEventListener("keydown", (event) => {
      if (takesEscape(event)) this.field.blur();
      if (!sends(event)) return;
      event.preventDefault();
      this.#submit();
    });
    this.problem = element("p", { class: "card-problem", role: "alert", hidden: true });
    /** @param {SubmitEvent} event */
    const onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    const skip = () => void this.#send(DECLINED, true);
    this.element = element(
      "form",
      { class: "card", onsubmit, "aria-label": asked?.question ?? words.card.answerTo(block.tool_name) },
      asked ? this.#choices(asked.choices) : inputView(block.input ?? {}),
      element(
        "div",
        { class: "card-panel" },
        this.field,
        element("button", { type: "submit", class: "primary" }, words.card.answer),
        element("button", { type: "button", onclick: skip }, words.card.skip),
      ),
      this.problem,
    );
  }

  /** @param {boolean} [isOver] whether it no longer asks: then the draft is discarded */
  remove(isOver) {
    if (isOver) remember(this.#draft, "");
    this.element.remove();
  }

  /** @param {string[]} choices */
  #choices(choices) {
    const row = element("div", { class: "choices", hidden: choices.length === 0 });
    for (const choice of choices) {
      const onclick = () => void this.#send(choice, false);
      row.append(element("button", { type: "button", dir: "auto", onclick }, choice));
    }
    return row;
  }

  #submit() {
    const text = this.field.value.trim();
    if (text) void this.#send(text, false);
    else this.field.focus();
  }

  /** @param {string} problem none: "" */
  #tell(problem) {
    setText(this.problem, problem);
    this.problem.hidden = problem === "";
  }

  /**
   * @param {string} content
   * @param {boolean} isError
   */
  async #send(content, isError) {
    if (this.element.ariaBusy === "true") return;
    this.element.ariaBusy = "true";
    this.#tell("");
    const refusal = await refusalOf(this.#answer(this.#block.tool_id ?? "", content, isError));
    // Taken, it stays as it is until the log has the result.
    if (refusal === undefined) return;
    this.element.ariaBusy = "false";
    this.#tell(refusal);
  }
}
