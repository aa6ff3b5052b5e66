/** Tells users of screen readers that an answer begins, what it asks and how it ended; never its words. */

import { questionOf, verdict } from "./asking.js";
import { setText } from "./element.js";
import { words } from "./language.js";
import { ending, explain, retryCause } from "./words.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("../turnwire/fold.js").ToolBlock} ToolBlock */

export class Announcer {
  #turn = "";
  /** @type {FoldedTurn["state"] | "retrying"} */
  #state = "done";
  /** Ends that are no news: where a turn was taken back, the one before it is the newest again. */
  #told = new Set();
  /** The call that asks something of the user. */
  #asked = "";

  /** @param {HTMLElement} region an aria-live region */
  constructor(region) {
    this.region = region;
  }

  /** @param {string} words */
  say(words) {
    setText(this.region, words);
  }

  /** Another conversation is on the screen. */
  forget() {
    this.#turn = this.#asked = "";
    this.say("");
  }

  /**
   * Announce what has become of the turn that runs, or ran last, since the last call.
   *
   * @param {FoldedTurn | undefined} turn
   * @param {boolean} live whether what is new happens now; the past is not announced
   * @param {ToolBlock} [asking] the call in it that waits for the user
   */
  update(turn, live, asking) {
    if (!turn) return;
    this.#updateState(turn, live);
    this.#updateAsked(turn, asking);
  }

  /**
   * @param {FoldedTurn} turn
   * @param {ToolBlock | undefined} asking
   */
  #updateAsked(turn, asking) {
    const asked = asking ? `${asking.tool_id} ${asking.state}` : "";
    if (asked === this.#asked) return;
    const [id] = this.#asked.split(" ");
    const before = turn.blocks.filter((block) => block.type === "tool").find(({ tool_id }) => tool_id === id);
    this.#asked = asked;
    const news = [before && turn.state === "running" ? verdict(before) : "", asking ? demand(asking) : ""];
    if (news.some(Boolean)) this.say(news.filter(Boolean).join(". "));
  }

  /**
   * @param {FoldedTurn} turn
   * @param {boolean} live
   */
  #updateState(turn, live) {
    const state = turn.retry ? "retrying" : turn.state;
    const isKnown = turn.turn === this.#turn;
    if (isKnown && state === this.#state) return;
    const wasRetrying = isKnown && this.#state === "retrying";
    this.#turn = turn.turn;
    this.#state = state;
    if (state === "done" && this.#told.has(turn.turn)) return;
    if (state === "done") this.#told.add(turn.turn);
    if (turn.retry) this.say(words.retry.announced(retryCause(turn.retry.code)));
    else if (state !== "done") {
      if (!wasRetrying) this.say(words.announce.answering);
    } else if (live) this.say(outcome(turn));
  }
}

/** @param {ToolBlock} asking */
function demand(asking) {
  if (asking.state === "waiting") return words.announce.asksToUse(asking.tool_name);
  return words.announce.asks(questionOf(asking)?.question ?? asking.tool_name);
}

/** @param {FoldedTurn} turn */
function outcome({ error, done }) {
  if (error) {
    const { title, remedy } = explain(error.code, error.message);
    return `${title} ${remedy}`.trim();
  }
  const end = done && ending(done.stop_reason, true);
  return end ? `${end.title}. ${end.remedy}`.replace(/\. $/, "") : words.announce.complete;
}
