/** What a tool call asks of the people who follow it, and how their answer is taken; knows no view. */

import { TurnwireError } from "../turnwire/turnwire.js";
import { words } from "./language.js";
import { ASK_USER, isHandled } from "./tools.js";

/** @typedef {import("../turnwire/fold.js").ToolBlock} ToolBlock */
/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */

/**
 * What a call waits for: a `decision` of anybody, an `answer` in this tab, or one `elsewhere`;
 * undefined: nothing.
 *
 * @param {ToolBlock} block
 * @param {string} runner this tab's
 * @param {(block: ToolBlock) => boolean} [isAllowed] whether it is allowed without asking
 * @returns {"decision" | "answer" | "elsewhere" | undefined}
 */
export function asks(block, runner, isAllowed = () => false) {
  const { state, decision, runs_on, runner: whose, tool_name = "" } = block;
  if (state === "waiting") return decision !== undefined || isAllowed(block) ? undefined : "decision";
  if (state !== "executing" || runs_on !== "client" || isHandled(tool_name)) return undefined;
  if (whose === runner) return "answer";
  return tool_name === ASK_USER ? "elsewhere" : undefined;
}

/**
 * The first call of a turn that waits for the user here.
 *
 * @param {FoldedTurn | undefined} turn
 * @param {string} runner this tab's
 * @param {(block: ToolBlock) => boolean} [isAllowed] whether it is allowed without asking
 */
export function firstAsked(turn, runner, isAllowed) {
  if (turn?.state !== "running") return undefined;
  const calls = turn.blocks.filter((block) => block.type === "tool");
  return calls.find((call) => ["decision", "answer"].includes(asks(call, runner, isAllowed) ?? ""));
}

/**
 * The question of a call that asks the user one, with the answers it suggests.
 *
 * @param {ToolBlock} block
 * @returns {{ question: string, choices: string[] } | undefined}
 */
export function questionOf({ tool_name, input }) {
  if (tool_name !== ASK_USER || typeof input?.question !== "string") return undefined;
  /** @type {unknown[]} */
  const choices = Array.isArray(input.choices) ? input.choices : [];
  return { question: input.question, choices: choices.filter((choice) => typeof choice === "string") };
}

/** Somebody else was faster, or the turn has ended: the log says so, there is nothing to tell. */
const OVER = new Set(["already_decided", "unknown_tool_call"]);

/**
 * Why an answer was refused, in words; undefined: it was taken, or is no longer needed.
 *
 * @param {Promise<void>} answering
 * @returns {Promise<string | undefined>}
 */
export async function refusalOf(answering) {
  try {
    await answering;
  } catch (error) {
    if (!(error instanceof TurnwireError)) throw error;
    // The server names the field first: there is only one.
    return OVER.has(error.code) ? undefined : error.message.replace(/^(input|content|reason): /, "");
  }
  return undefined;
}

/**
 * The calls at the end of a turn that has ended which got no result of their own: they waited or ran
 * when it did. (One of them may have failed by itself just before; its result says so.)
 *
 * @param {FoldedTurn} turn
 * @returns {ToolBlock[]}
 */
export function cutOff(turn) {
  const reason = turn.done?.stop_reason ?? "";
  if (!["cancelled", "interrupted", "failed", "max_steps"].includes(reason)) return [];
  const last = turn.blocks.map(({ type }) => type === "tool").lastIndexOf(false);
  const calls = turn.blocks.slice(last + 1).filter((block) => block.type === "tool");
  return calls.filter(({ result, decision }) => decision !== "deny" && (result?.is_error ?? true));
}

/**
 * Whether a call had begun to run: what it was to do may have happened.
 *
 * @param {ToolBlock} block
 */
export function hasRun({ input, expires_at, decision }) {
  return input !== undefined && (expires_at === undefined || decision === "allow");
}

/**
 * What was decided about a call, where somebody had to; else "".
 *
 * @param {ToolBlock} block
 */
export function verdict(block) {
  if (block.decision === undefined) return "";
  const { denied, allowed, allowedChanged, because } = words.tool;
  const verdict = block.decision === "deny" ? denied : isEdited(block) ? allowedChanged : allowed;
  return block.reason ? because(verdict, block.reason) : verdict;
}

/**
 * Whether somebody changed the input that the model gave.
 *
 * @param {ToolBlock} block
 */
export function isEdited({ decision, input, partial_json }) {
  if (decision !== "allow") return false;
  try {
    return !isSame(JSON.parse(partial_json || "{}"), input);
  } catch {
    return false;
  }
}

/**
 * Whether two JSON values are equal; the order of names does not count.
 *
 * @param {any} one
 * @param {any} other
 * @returns {boolean}
 */
function isSame(one, other) {
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return one === other;
  const names = Object.keys(one);
  return (
    Array.isArray(one) === Array.isArray(other) &&
    names.length === Object.keys(other).length &&
    names.every((name) => name in other && isSame(one[name], other[name]))
  );
}
