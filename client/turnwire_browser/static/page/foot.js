/** What stands under an answer: how it ended and what to do about it, its usage, copy and again. */

import { copyButton } from "./copy.js";
import { element, icon } from "./element.js";
import { words } from "./language.js";
import { cost, countOf, duration, ending, explain } from "./words.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */

/**
 * The parts for a turn as it is now.
 *
 * @param {FoldedTurn} turn
 * @param {() => void} regenerate
 * @returns {HTMLElement[]}
 */
export function footOf(turn, regenerate) {
  const { done, error } = turn;
  const parts = [];
  if (error) parts.push(failure(turn, error));
  const end = done && !error ? ending(done.stop_reason, turn.model !== undefined) : undefined;
  if (end) {
    parts.push(element("p", { class: "mark" }, end.title));
    if (end.remedy) parts.push(element("p", { class: "remedy" }, end.remedy));
  }
  if (turn.model === undefined && done) return parts;
  const meta = element("div", { class: "meta" });
  const text = turn.blocks.filter((block) => block.type === "text").map((block) => block.text);
  if (done && text.some(Boolean)) meta.append(copyButton(words.action.copyAnswer, () => text.join("\n\n")));
  meta.append(
    element(
      "button",
      { type: "button", class: "regenerate", onclick: regenerate },
      icon("again"),
      element("span", {}, words.action.again),
    ),
  );
  if (done) meta.append(usageLine(turn));
  return [...parts, meta];
}

/**
 * @param {FoldedTurn} turn
 * @param {NonNullable<FoldedTurn["error"]>} error
 */
function failure(turn, error) {
  const { title, remedy } = explain(error.code, error.message);
  const callout = element("div", { class: "callout" }, element("strong", {}, title));
  if (remedy) callout.append(element("span", {}, remedy));
  if (turn.blocks.length > 0) callout.append(element("span", {}, words.failure.kept));
  if (error.message && error.message !== title) {
    callout.append(element("small", { dir: "auto" }, error.message));
  }
  return callout;
}

/** @param {FoldedTurn} turn */
function usageLine({ usage, done }) {
  const line = element("p", { class: "usage" });
  /** @param {string} text @param {string} [meaning] */
  const add = (text, meaning) => line.append(element("span", { title: meaning }, text));
  if (usage) {
    const cached = usage.cache_read_input_tokens ?? 0;
    const read = (usage.input_tokens ?? 0) + cached + (usage.cache_creation_input_tokens ?? 0);
    const about = usage.estimated ? "≈ " : "";
    add(about + words.turn.read(countOf(read)), words.turn.readMeaning);
    if (cached > 0) add(words.turn.cached(countOf(cached)), words.turn.cachedMeaning);
    add(about + words.turn.wrote(countOf(usage.output_tokens ?? 0)), words.turn.wroteMeaning);
  }
  if (done?.cost_usd !== undefined) add(cost(done.cost_usd));
  if (done) add(duration(done.duration_ms));
  return line;
}
