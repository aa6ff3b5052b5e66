/** The view of one turn: the question, the answer's blocks in order, and how it ended. */

import { ThinkingView, TextView } from "./blocks.js";
import { copyButton } from "./copy.js";
import { element, setText } from "./element.js";
import { Countdown } from "./frame.js";
import { ToolView } from "./tool.js";
import { cost, counted, duration, ending, explain, plain, retryCause } from "./words.js";

/** @typedef {import("../fold.js").Turn} Turn */
/** @typedef {import("../fold.js").Block} Block */
/** @typedef {{ block: Block, view: TextView | ThinkingView | ToolView }} Shown */

export class TurnView {
  /** @type {Turn | undefined} */
  #turn;
  /** @type {Shown[]} */
  #shown = [];

  /** @param {(text: string) => void} again send this text as a new message */
  constructor(again) {
    this.again = again;
    this.bubble = element("div", { class: "bubble", dir: "auto" });
    this.blocks = element("div", { class: "blocks" });
    this.working = element("div", { class: "working", hidden: true }, dots());
    this.retry = element("p", { class: "retry", hidden: true });
    this.foot = element("div", { class: "foot" });
    this.countdown = new Countdown(this.retry, () => "");
    this.element = element(
      "article",
      { class: "turn" },
      element("h2", { class: "visually-hidden" }, "You"),
      this.bubble,
      element("h2", { class: "visually-hidden" }, "Claude"),
      element("div", { class: "answer" }, this.blocks, this.working, this.retry, this.foot),
    );
  }

  /**
   * @param {Turn} turn
   * @param {boolean} live whether what is new in it happens now
   */
  update(turn, live) {
    const last = this.#turn;
    if (turn === last) return;
    this.#turn = turn;
    this.element.dataset.state = turn.state;
    this.element.dataset.turn = turn.turn;
    if (turn.content !== last?.content) setText(this.bubble, plain(turn.content));
    if (turn.at && turn.at !== last?.at) this.bubble.title = new Date(turn.at).toLocaleString();
    if (turn.blocks !== last?.blocks || turn.state !== last?.state) this.#updateBlocks(turn, live);
    if (turn.retry !== last?.retry) this.#updateRetry(turn.retry);
    this.working.hidden = !isQuiet(turn);
    if (turn.done !== last?.done || turn.error !== last?.error) this.#updateFoot(turn);
  }

  /** Give up what still ticks. */
  remove() {
    this.countdown.stop();
    this.element.remove();
  }

  /**
   * @param {Turn} turn
   * @param {boolean} live
   */
  #updateBlocks(turn, live) {
    const ended = turn.state === "done";
    turn.blocks.forEach((block, index) => {
      const shown = this.#shown[index];
      if (shown && !isSame(shown.block, block)) this.#dropFrom(index);
      const kept = this.#shown[index];
      if (!kept) {
        const view = viewOf(block, live);
        this.#shown.push({ block, view });
        this.blocks.append(view.element);
        view.update(block, ended);
      } else if (kept.block !== block || ended) {
        kept.block = block;
        kept.view.update(block, ended);
      }
    });
    this.#dropFrom(turn.blocks.length);
  }

  /** @param {number} index */
  #dropFrom(index) {
    for (const { view } of this.#shown.splice(index)) view.element.remove();
  }

  /** @param {Turn["retry"]} retry */
  #updateRetry(retry) {
    this.countdown.stop();
    this.retry.hidden = !retry;
    if (!retry) return;
    const cause = retryCause(retry.code);
    this.countdown = new Countdown(this.retry, (seconds) =>
      seconds > 0 ? `${cause}, trying again in ${seconds} s` : `${cause}, trying again…`,
    );
    this.countdown.until(Date.now() + retry.delay_seconds * 1000);
  }

  /** @param {Turn} turn */
  #updateFoot(turn) {
    const { done, error } = turn;
    const parts = [];
    if (error) parts.push(this.#failure(turn, error));
    const mark = done && !error ? ending(done.stop_reason) : undefined;
    if (mark) parts.push(element("p", { class: "mark" }, mark));
    if (done) {
      const text = turn.blocks.filter((block) => block.type === "text").map((block) => block.text);
      const tools = element("div", { class: "meta" });
      if (text.some(Boolean)) tools.append(copyButton("Copy answer", () => text.join("\n\n")));
      tools.append(usageLine(turn));
      parts.push(tools);
    }
    this.foot.replaceChildren(...parts);
  }

  /**
   * @param {Turn} turn
   * @param {NonNullable<Turn["error"]>} error
   */
  #failure(turn, error) {
    const { title, remedy } = explain(error.code, error.message);
    const callout = element("div", { class: "callout" }, element("strong", {}, title));
    if (remedy) callout.append(element("span", {}, remedy));
    if (turn.blocks.length > 0) callout.append(element("span", {}, "What came so far is kept."));
    if (error.message && error.message !== title) {
      callout.append(element("small", { dir: "auto" }, error.message));
    }
    if (error.retryable) {
      const again = () => this.again(plain(turn.content));
      callout.append(
        element("button", { type: "button", class: "again", onclick: again }, "Send again"),
      );
    }
    return callout;
  }
}

/**
 * @param {Block} block
 * @param {boolean} live
 */
function viewOf(block, live) {
  if (block.type === "tool") return new ToolView();
  return block.type === "thinking" ? new ThinkingView(live && !block.complete) : new TextView();
}

/**
 * Whether two states are of one block; after a rewind another may stand in its place.
 *
 * @param {Block} one
 * @param {Block} other
 */
function isSame(one, other) {
  return one.block === other.block && one.type === other.type && one.tool_id === other.tool_id;
}

/**
 * Whether a turn is under way with nothing on the screen that moves.
 *
 * @param {Turn} turn
 */
function isQuiet(turn) {
  if (turn.state === "done" || turn.retry) return false;
  return turn.blocks.every(({ type, state, complete }) =>
    type === "tool" ? state === "done" : complete,
  );
}

/** @param {Turn} turn */
function usageLine({ usage, done }) {
  const line = element("p", { class: "usage" });
  /** @param {string} text @param {string} [meaning] */
  const add = (text, meaning) => line.append(element("span", { title: meaning }, text));
  if (usage) {
    const cached = usage.cache_read_input_tokens ?? 0;
    const read = (usage.input_tokens ?? 0) + cached + (usage.cache_creation_input_tokens ?? 0);
    const about = usage.estimated ? "≈ " : "";
    add(`${about}${counted(read)} in`, "Tokens Claude read");
    if (cached > 0) add(`${counted(cached)} cached`, "of these, from its cache");
    add(`${about}${counted(usage.output_tokens ?? 0)} out`, "Tokens Claude wrote");
  }
  if (done?.cost_usd !== undefined) add(cost(done.cost_usd));
  if (done) add(duration(done.duration_ms));
  return line;
}

function dots() {
  const dot = () => element("i", { "aria-hidden": "true" });
  return element("span", { class: "dots" }, dot(), dot(), dot());
}
