/** The view of one tool call: a stop on the answer's time line; knows no turn and runs nothing. */

import { copyButton } from "./copy.js";
import { element, setText } from "./element.js";
import { duration, plain } from "./words.js";

/** @typedef {import("../fold.js").Block} Block */

const SHORT_LINES = 4;
const SHORT_CHARACTERS = 320;

/** @type {Record<string, string>} */
const PLACES = { server: "on the server", client: "in a client", provider: "at Anthropic" };

export class ToolView {
  /** @type {Block | undefined} */
  #block;
  /** @type {NonNullable<Block["result"]> | undefined} */
  #result;

  constructor() {
    this.name = element("code", { class: "tool-name", dir: "auto" });
    this.place = element("span", { class: "tool-place" });
    this.state = element("span", { class: "tool-state" });
    this.input = fold("Input", () => inputText(this.#block));
    this.result = element("div", { class: "tool-result" });
    this.element = element(
      "section",
      { class: "tool", "aria-label": "Tool call" },
      element("div", { class: "tool-row" }, this.name, this.place, this.state),
      element("div", { class: "tool-body" }, this.input.element, this.result),
    );
  }

  /**
   * @param {Block} block
   * @param {boolean} ended whether its turn has ended
   */
  update(block, ended) {
    this.#block = block;
    const { state, words } = condition(block, ended);
    this.element.dataset.state = state;
    setText(this.name, block.tool_name ?? "tool");
    setText(this.place, PLACES[block.runs_on ?? ""] ?? "");
    setText(this.state, words);
    this.input.refresh();
    if (block.result !== this.#result) {
      this.#result = block.result;
      this.result.replaceChildren(...(block.result ? [resultView(block.result)] : []));
    }
  }
}

/**
 * Where the call stands, as a state to style and in words.
 *
 * @param {Block} block
 * @param {boolean} ended
 */
function condition(block, ended) {
  if (block.result) {
    const took = block.result.duration_ms ? ` · ${duration(block.result.duration_ms)}` : "";
    return block.result.is_error
      ? { state: "failed", words: `Failed${took}` }
      : { state: "done", words: `Done${took}` };
  }
  if (ended) return { state: "stopped", words: "Did not finish" };
  if (block.state === "waiting") return { state: "waiting", words: "Waits for approval" };
  if (block.state === "executing") {
    return { state: "active", words: block.progress?.message || "Running…" };
  }
  return { state: "active", words: "Preparing…" };
}

/**
 * The call's input, pretty-printed as soon as it is whole.
 *
 * @param {Block | undefined} block
 */
function inputText(block) {
  if (block?.input) return JSON.stringify(block.input, null, 2);
  const partial = block?.partial_json ?? "";
  if (!block?.complete) return partial;
  try {
    return JSON.stringify(JSON.parse(partial || "{}"), null, 2);
  } catch {
    return partial;
  }
}

/** @param {NonNullable<Block["result"]>} result */
function resultView(result) {
  const text = plain(result.content);
  const lines = text.split("\n").length;
  if (lines <= SHORT_LINES && text.length <= SHORT_CHARACTERS) {
    return element("pre", { class: "tool-text", dir: "auto" }, text || "(empty)");
  }
  const size = lines > 1 ? `${lines} lines` : `${text.length.toLocaleString("en")} characters`;
  return fold(`Result, ${size}`, () => text).element;
}

/**
 * A folded text, which is only made when somebody opens it.
 *
 * @param {string} title
 * @param {() => string} read
 */
function fold(title, read) {
  const text = element("pre", { class: "tool-text", dir: "auto", tabindex: 0 });
  const details = element(
    "details",
    { ontoggle: refresh },
    element("summary", {}, title),
    element("div", { class: "tool-open" }, text, copyButton(`Copy ${title}`, read)),
  );
  function refresh() {
    if (details.open) setText(text, read());
  }
  return { element: details, refresh };
}
