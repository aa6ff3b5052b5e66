/** The view of one tool call: a stop on the answer's time line; knows no turn and runs nothing. */

import { ApprovalView } from "./approval.js";
import { asks, isEdited, questionOf, verdict } from "./asking.js";
import { element, setText } from "./element.js";
import { Folded } from "./folded.js";
import { InquiryView } from "./inquiry.js";
import { words } from "./language.js";
import { ProgressView } from "./progress.js";
import { ResultView } from "./result.js";
import { duration } from "./words.js";

/** @typedef {import("../turnwire/fold.js").ToolBlock} ToolBlock */

/**
 * @typedef {object} CallActions What a reader can do with a call.
 * @property {import("./approval.js").Decide} decide
 * @property {import("./inquiry.js").Answer} answer
 * @property {(block: ToolBlock) => boolean} isAllowed whether it is allowed without asking
 * @property {(tool: string, isAllowed: boolean) => void} allowAlways its calls are not asked about any more, or again
 * @property {string} runner this tab's: it answers the calls that name it
 * @property {import("./files.js").Files} files
 * @property {import("./made.js").FetchFile} fetchFile
 */

export class ToolView {
  #actions;
  /** @type {ToolBlock | undefined} */
  #block;
  /** @type {ReturnType<typeof asks>} */
  #asked;
  /** @type {ApprovalView | InquiryView | undefined} */
  #card;

  /** @param {CallActions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.name = element("code", { class: "tool-name", dir: "auto" });
    this.place = element("span", { class: "tool-place" });
    this.state = element("span", { class: "tool-state" });
    this.question = element("p", { class: "tool-question", dir: "auto", hidden: true });
    this.verdict = element("p", { class: "tool-verdict", dir: "auto", hidden: true });
    this.always = element("p", { class: "tool-always", hidden: true });
    this.input = new Folded(words.tool.input, () => inputText(this.#block));
    this.original = new Folded(words.tool.given, () => given(this.#block));
    this.progress = new ProgressView();
    this.result = new ResultView(actions.files, actions.fetchFile);
    this.body = element(
      "div",
      { class: "tool-body" },
      this.question,
      this.verdict,
      this.always,
      this.input.element,
      this.original.element,
      this.progress.element,
      this.result.element,
    );
    this.element = element(
      "div",
      { class: "tool", role: "group", "aria-label": words.tool.call, tabindex: -1 },
      element("div", { class: "tool-row" }, this.name, this.place, this.state),
      this.body,
    );
  }

  /**
   * @param {ToolBlock} block
   * @param {boolean} ended whether its turn has ended
   * @param {boolean} [isCutOff] it got no result of its own
   */
  update(block, ended, isCutOff = false) {
    this.#block = block;
    const { runner, isAllowed } = this.#actions;
    const asked = ended ? undefined : asks(block, runner, isAllowed);
    const { state, said } = condition(block, ended, asked, isCutOff);
    this.element.dataset.state = state;
    setText(this.name, block.tool_name ?? words.tool.unnamed);
    setText(this.place, this.#place(block));
    setText(this.state, said);
    const { question = "" } = questionOf(block) ?? {};
    setText(this.question, question);
    this.question.hidden = question === "";
    setText(this.verdict, verdict(block));
    this.verdict.hidden = this.verdict.textContent === "";
    this.#tellAlways(block);
    this.input.refresh();
    this.original.element.hidden = !isEdited(block);
    this.original.refresh();
    this.progress.update(state === "active" ? block.progress : undefined);
    this.result.update(block.decision === "deny" ? undefined : block.result);
    this.#ask(block, asked);
    // Once is enough.
    this.input.element.hidden = this.#card !== undefined || question !== "";
  }

  /** Give up what still ticks and what is held. */
  remove() {
    this.#card?.remove();
    this.result.remove();
    this.element.remove();
  }

  /** @param {ToolBlock} block */
  #tellAlways(block) {
    const isAllowed = block.decision === "allow" && this.#actions.isAllowed(block);
    if (this.always.hidden !== isAllowed) return;
    const again = () => {
      this.#actions.allowAlways(block.tool_name, false);
      this.always.hidden = true;
    };
    this.always.hidden = !isAllowed;
    this.always.replaceChildren(
      element("span", {}, words.card.alwaysNow(block.tool_name)),
      element("button", { type: "button", onclick: again }, words.card.askAgain),
    );
  }

  /** @param {ToolBlock} block */
  #place({ runs_on, runner }) {
    const isHere = runner !== undefined && runner === this.#actions.runner;
    if (isHere) return words.tool.inThisTab;
    if (runs_on === "server") return words.tool.onServer;
    if (runs_on === "client") return words.tool.inClient;
    return runs_on === "provider" ? words.tool.atProvider : "";
  }

  /**
   * @param {ToolBlock} block
   * @param {ReturnType<typeof asks>} asked
   */
  #ask(block, asked) {
    if (asked === this.#asked) return;
    this.#asked = asked;
    const hadFocus = this.#card?.element.contains(document.activeElement);
    this.#card?.remove(true);
    this.#card = undefined;
    const { decide, allowAlways } = this.#actions;
    const always = (/** @type {string} */ tool) => allowAlways(tool, true);
    if (asked === "decision") this.#card = new ApprovalView(block, decide, always);
    if (asked === "answer") this.#card = new InquiryView(block, this.#actions.answer);
    if (this.#card) this.body.append(this.#card.element);
    // Who answered by the keyboard goes on from here, not from the top of the page.
    if (hadFocus) this.element.focus({ preventScroll: true });
  }
}

/**
 * Where the call stands, as a state to style and in words.
 *
 * @param {ToolBlock} block
 * @param {boolean} ended
 * @param {ReturnType<typeof asks>} asked
 * @param {boolean} isCutOff
 */
function condition({ result, state, decision }, ended, asked, isCutOff) {
  if (decision === "deny") return { state: "denied", said: words.tool.denied };
  if (isCutOff) return { state: "stopped", said: words.tool.unfinished };
  if (result) {
    const took = result.duration_ms ? ` · ${duration(result.duration_ms)}` : "";
    return result.is_error
      ? { state: "failed", said: `${words.tool.failed}${took}` }
      : { state: "done", said: `${words.tool.done}${took}` };
  }
  if (ended) return { state: "stopped", said: words.tool.unfinished };
  if (asked === "decision" || asked === "answer") return { state: "waiting", said: words.tool.waits };
  if (asked === "elsewhere") return { state: "waiting", said: words.tool.elsewhere };
  return { state: "active", said: state === "executing" ? words.tool.running : words.tool.preparing };
}

/**
 * The call's input, pretty-printed as soon as it is whole.
 *
 * @param {ToolBlock | undefined} block
 */
function inputText(block) {
  return block?.input ? JSON.stringify(block.input, null, 2) : given(block);
}

/**
 * The input as the model gave it.
 *
 * @param {ToolBlock | undefined} block
 */
function given(block) {
  const partial = block?.partial_json ?? "";
  if (!block?.complete) return partial;
  try {
    return JSON.stringify(JSON.parse(partial || "{}"), null, 2);
  } catch {
    return partial;
  }
}
