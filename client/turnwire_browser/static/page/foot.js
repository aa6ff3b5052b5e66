/** What stands under an answer: how it ended and what to do about it, its usage, copy and again. */

import { cutOff, hasRun } from "./asking.js";
import { copyButton } from "./copy.js";
import { element, icon } from "./element.js";
import { words } from "./language.js";
import { Passages } from "./passages.js";
import { readOf } from "./totals.js";
import { cost, countOf, declined, duration, ending, explain } from "./words.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */

/** The ends after which there may be more to say. */
const CUT = new Set(["cancelled", "max_tokens", "max_steps", "interrupted", "failed"]);

/**
 * The parts for a turn as it is now.
 *
 * @param {FoldedTurn} turn
 * @param {{ regenerate(): void, proceed(): void, choose(index: number): void }} actions
 * @param {{ at: number, of: number }} [variants] which of how many answers to the same message it is
 * @returns {HTMLElement[]}
 */
export function footOf(turn, { regenerate, proceed, choose }, variants) {
  const { done, error } = turn;
  const parts = [];
  if (error) parts.push(failure(turn, error));
  const end = done && !error ? ending(done.stop_reason, turn.model !== undefined) : undefined;
  if (end) {
    parts.push(element("p", { class: "mark" }, end.title));
    const why = done?.refusal && declined(done.refusal);
    if (why) parts.push(element("p", { class: "remedy refusal", dir: "auto" }, why));
    if (end.remedy) parts.push(element("p", { class: "remedy" }, end.remedy));
  }
  const ran = done?.stop_reason === "cancelled" ? [] : cutOff(turn).filter(hasRun);
  if (ran.length > 0) {
    const names = [...new Set(ran.map(({ tool_name }) => tool_name))].join(", ");
    parts.push(element("p", { class: "remedy" }, words.failure.wasRunning(names)));
  }
  // While it is being written, Stop is the way out; once it has ended, these are the ways on.
  if (turn.model === undefined || !done) return parts;
  if (variants && variants.at < variants.of - 1) parts.push(element("p", { class: "remedy" }, words.turn.old));
  const meta = element("div", { class: "meta" });
  if (variants) meta.append(...variantsOf(variants, choose));
  if (turn.blocks.some((block) => block.type === "text" && block.text)) {
    meta.append(copyButton(words.action.copyAnswer, () => new Passages(turn.blocks).markdown));
  }
  if (turn.blocks.length > 0 && CUT.has(done.stop_reason)) {
    meta.append(action("proceed", "forward", words.action.proceed, proceed));
  }
  meta.append(action("regenerate", "again", words.action.again, regenerate));
  meta.append(usageLine(turn));
  return [...parts, meta];
}

/**
 * @param {{ at: number, of: number }} variants
 * @param {(index: number) => void} choose
 */
function variantsOf({ at, of }, choose) {
  const step = (/** @type {"back" | "onward"} */ shape, /** @type {string} */ label, /** @type {number} */ to) =>
    element(
      "button",
      { type: "button", class: "variant", "aria-label": label, title: label, disabled: to < 0 || to >= of, onclick: () => choose(to) },
      icon(shape),
    );
  const place = { class: "variants", role: "group", "aria-label": words.turn.variant(at + 1, of) };
  return [
    element(
      "span",
      place,
      step("back", words.turn.earlier, at - 1),
      `${at + 1} / ${of}`,
      step("onward", words.turn.later, at + 1),
    ),
  ];
}

/**
 * @param {string} kind
 * @param {Parameters<typeof icon>[0]} shape
 * @param {string} label
 * @param {() => void} onclick
 */
function action(kind, shape, label, onclick) {
  return element("button", { type: "button", class: kind, onclick }, icon(shape), element("span", {}, label));
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
function usageLine(turn) {
  const { usage, done } = turn;
  const line = element("p", { class: "usage" });
  /** @param {string} text @param {string} [meaning] */
  const add = (text, meaning) => line.append(element("span", { title: meaning }, text));
  if (usage) {
    const cached = usage.cache_read_input_tokens;
    const read = readOf(turn);
    const about = usage.estimated ? "≈ " : "";
    add(about + words.turn.read(countOf(read)), words.turn.readMeaning);
    if (cached > 0) add(words.turn.cached(countOf(cached)), words.turn.cachedMeaning);
    add(about + words.turn.wrote(countOf(usage.output_tokens)), words.turn.wroteMeaning);
  }
  if (done?.cost_usd !== undefined) add(cost(done.cost_usd));
  if (done) add(duration(done.duration_ms));
  return line;
}
