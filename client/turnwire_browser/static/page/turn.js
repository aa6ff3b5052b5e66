/** The view of one turn: the question, the answer's blocks in order, and how it ended. */

import { SummaryView, ThinkingView, TextView } from "./blocks.js";
import { cutOff } from "./asking.js";
import { CallView } from "./call.js";
import { element, setText } from "./element.js";
import { footOf } from "./foot.js";
import { Countdown } from "./frame.js";
import { spoken, words } from "./language.js";
import { shownBlocks } from "./output.js";
import { QuestionView } from "./question.js";
import { Passages } from "./passages.js";
import { SourcesView } from "./sources.js";
import { retryCause } from "./words.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("../turnwire/fold.js").Block} Block */
/** @typedef {{ element: HTMLElement, update(block: Block, isOver: boolean, isCutOff?: boolean): void }} View of the type that the block has; `isOver`: nothing more will come of it */
/** @typedef {{ block: Block, view: View, isOver: boolean }} Shown as the view was told last */
/** @typedef {import("./question.js").TurnActions & import("./tool.js").CallActions} TurnActions */

export class TurnView {
  /** @type {FoldedTurn | undefined} */
  #turn;
  /** @type {Shown[]} */
  #shown = [];
  /** What there is now, whether it is what is shown or not. @type {FoldedTurn | undefined} */
  #newest;
  /** The answers that it took the place of. @type {readonly FoldedTurn[]} */
  #earlier = [];
  /** Which answer is shown: an earlier one, by its index, or the newest. @type {number | undefined} */
  #chosen;

  /** @param {TurnActions} actions */
  constructor(actions) {
    this.actions = actions;
    this.question = new QuestionView(actions, actions.files);
    this.blocks = element("div", { class: "blocks" });
    this.sources = new SourcesView();
    this.summarising = element("span", { class: "summarising" });
    this.working = element("div", { class: "working", hidden: true }, dots(), this.summarising);
    this.retry = element("p", { class: "retry", hidden: true });
    this.foot = element("div", { class: "foot" });
    this.when = element("span", { class: "when" });
    this.countdown = new Countdown(this.retry, () => "");
    // Not before somebody looks: the first date takes the browser 10 ms.
    const look = () => this.#tellWhen();
    this.element = element(
      "article",
      { class: "turn", onpointerenter: look, onfocusin: look },
      element("h2", { class: "visually-hidden" }, words.turn.you),
      this.question.element,
      element("h2", { class: "visually-hidden" }, words.turn.claude),
      element("div", { class: "answer" }, this.blocks, this.sources.element, this.working, this.retry, this.foot),
    );
  }

  /**
   * @param {FoldedTurn} turn
   * @param {boolean} live whether what is new in it happens now
   */
  update(turn, live) {
    if (turn === this.#newest) return;
    // What a turn replaces is known before it begins.
    if (!this.#newest) this.#earlier = this.actions.earlier(turn);
    this.#newest = turn;
    this.element.dataset.state = turn.state;
    this.element.dataset.turn = turn.turn;
    this.question.update(turn);
    if (this.#chosen === undefined) this.#show(turn, live);
  }

  /**
   * Show another answer to the same message.
   *
   * @param {number} index of the earlier ones; behind them is the newest
   */
  #choose(index) {
    const turn = this.#earlier[index] ?? this.#newest;
    if (!turn) return;
    this.#chosen = index < this.#earlier.length ? index : undefined;
    this.#dropFrom(0);
    this.#turn = undefined;
    this.#show(turn, false);
    this.foot.querySelector("button.variant")?.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {FoldedTurn} turn
   * @param {boolean} live
   */
  #show(turn, live) {
    const last = this.#turn;
    this.#turn = turn;
    this.element.classList.toggle("replaced", this.#chosen !== undefined);
    if (turn.blocks !== last?.blocks || turn.state !== last?.state) this.#updateBlocks(turn, live);
    if (turn.retry !== last?.retry) this.#updateRetry(turn.retry);
    this.working.hidden = !isQuiet(turn);
    setText(this.summarising, turn.compacting ? words.summary.active : "");
    if (turn.state !== last?.state || turn.done !== last?.done || turn.error !== last?.error) {
      const regenerate = () => this.actions.regenerate(this.#turn ?? turn);
      const variants = this.#earlier.length > 0 && { at: this.#chosen ?? this.#earlier.length, of: this.#earlier.length + 1 };
      const choose = (/** @type {number} */ index) => this.#choose(index);
      const parts = footOf(turn, { regenerate, proceed: this.actions.proceed, choose }, variants || undefined);
      parts.at(-1)?.append(this.when);
      this.foot.replaceChildren(...parts);
    }
  }

  /** When it was asked, and which model answered. */
  #tellWhen() {
    const { at, model } = this.#turn ?? {};
    const time = at ? new Date(at).toLocaleString(spoken, { dateStyle: "medium", timeStyle: "short" }) : "";
    setText(this.when, [time, model ?? ""].filter(Boolean).join(" · "));
  }

  /** Give up what still ticks and what is held. */
  remove() {
    this.countdown.stop();
    this.#dropFrom(0);
    this.question.remove();
    this.element.remove();
  }

  /**
   * @param {FoldedTurn} turn
   * @param {boolean} live
   */
  #updateBlocks(turn, live) {
    const ended = turn.state === "done";
    const cut = new Set(cutOff(turn).map(({ block }) => block));
    const passages = new Passages(shownBlocks(turn));
    // Before the texts are shown, whose marks lead there.
    this.sources.update(passages.sources);
    passages.blocks.forEach((block, index) => {
      // A text may go on with the next block.
      const isOver = ended || (block.type === "text" && index < passages.blocks.length - 1);
      const shown = this.#shown[index];
      if (shown && !isSame(shown.block, block)) this.#dropFrom(index);
      const kept = this.#shown[index];
      if (!kept) {
        const view = this.#viewOf(block, live);
        this.#shown.push({ block, view, isOver });
        this.blocks.append(view.element);
        view.update(block, isOver, cut.has(block.block));
      } else if (kept.block !== block || ended || kept.isOver !== isOver) {
        kept.block = block;
        kept.isOver = isOver;
        kept.view.update(block, isOver, cut.has(block.block));
      }
    });
    this.#dropFrom(passages.blocks.length);
  }

  /**
   * @param {Block} block
   * @param {boolean} live
   * @returns {View}
   */
  #viewOf(block, live) {
    if (block.type === "tool") return new CallView(this.actions);
    if (block.type === "compaction") return new SummaryView();
    if (block.type === "thinking") return new ThinkingView(live && !block.complete);
    return new TextView(this.sources);
  }

  /** @param {number} index */
  #dropFrom(index) {
    for (const { view } of this.#shown.splice(index)) {
      if (view instanceof CallView) view.remove();
      else view.element.remove();
    }
  }

  /** @param {FoldedTurn["retry"]} retry */
  #updateRetry(retry) {
    this.countdown.stop();
    this.retry.hidden = !retry;
    if (!retry) return;
    const cause = retryCause(retry.code);
    this.countdown = new Countdown(this.retry, (seconds) =>
      seconds > 0 ? words.retry.soon(cause, seconds) : words.retry.now(cause),
    );
    this.countdown.until(Date.now() + retry.delay_seconds * 1000);
  }
}

/**
 * Whether two states are of one block; after a rewind another may stand in its place.
 *
 * @param {Block} one
 * @param {Block} other
 */
function isSame(one, other) {
  const [id, otherId] = [one, other].map((block) => (block.type === "tool" ? block.tool_id : undefined));
  return one.block === other.block && one.type === other.type && id === otherId;
}

/**
 * Whether a turn is under way with nothing on the screen that moves.
 *
 * @param {FoldedTurn} turn
 */
function isQuiet(turn) {
  if (turn.state === "done" || turn.retry) return false;
  return turn.blocks.every((block) => (block.type === "tool" ? block.state === "done" : block.complete));
}

function dots() {
  const dot = () => element("i", { "aria-hidden": "true" });
  return element("span", { class: "dots" }, dot(), dot(), dot());
}
