/** What a conversation has taken so far: tokens, and what they cost. */

import { element } from "./element.js";
import { words } from "./language.js";
import { cost, countOf } from "./words.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */

/**
 * The sums over the turns that have ended.
 *
 * @param {readonly FoldedTurn[]} turns
 */
export function sumOf(turns) {
  const ended = turns.filter(({ done }) => done);
  const sum = (/** @type {(turn: FoldedTurn) => number | undefined} */ of) =>
    ended.reduce((total, turn) => total + (of(turn) ?? 0), 0);
  const costs = ended.some(({ done }) => done?.cost_usd !== undefined);
  return {
    read: sum(readOf),
    wrote: sum(({ usage }) => usage?.output_tokens),
    cost_usd: costs ? sum(({ done }) => done?.cost_usd) : undefined,
    // Of several steps only the sum is known, which says nothing of how much the model had before it.
    last: ended.filter(({ done, usage }) => done?.steps === 1 && usage).at(-1),
    context: turns.filter(({ context }) => context).at(-1)?.context,
  };
}

/** @param {FoldedTurn} turn @returns {number} tokens that the model read, from its cache or not */
export function readOf({ usage }) {
  if (!usage) return 0;
  return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
}

export class TotalsView {
  /** @param {HTMLElement} line */
  constructor(line) {
    this.line = line;
  }

  /**
   * @param {readonly FoldedTurn[]} turns
   * @param {boolean} isWhole whether these are all: of a part there is no total
   */
  update(turns, isWhole) {
    const { read, wrote, cost_usd, last, context } = sumOf(turns);
    this.line.hidden = read + wrote === 0 || !(isWhole || last || context);
    if (this.line.hidden) return;
    const { turn } = words;
    const parts = [
      element("span", { title: turn.readMeaning }, turn.read(countOf(read))),
      element("span", { title: turn.wroteMeaning }, turn.wrote(countOf(wrote))),
    ];
    if (!isWhole) parts.length = 0;
    else if (cost_usd !== undefined) parts.push(element("span", {}, cost(cost_usd)));
    if (context?.window) {
      const share = Math.min(100, Math.round((100 * context.tokens) / context.window));
      const title = turn.contextMeaning(countOf(context.tokens), countOf(context.window));
      parts.push(element("span", { class: "totals-last", title }, turn.context(share)));
    } else if (last) {
      const tokens = readOf(last) + (last.usage?.output_tokens ?? 0);
      parts.push(element("span", { class: "totals-last" }, turn.last(countOf(tokens))));
    }
    const label = element("b", { class: "totals-label" }, turn.total, " ");
    this.line.replaceChildren(...(isWhole ? [label] : []), ...parts);
  }
}
