// What a tool call asks of the people who follow it, from what is known of the call.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  asks,
  firstAsked,
  isEdited,
  questionOf,
  refusalOf,
  verdict,
} from "../../client/turnwire_browser/static/page/asking.js";
import { TurnwireError } from "../../client/turnwire_browser/static/turnwire/turnwire.js";

const OURS = "r_1";
const waiting = { type: "tool", state: "waiting", tool_name: "erase", input: { path: "a" }, partial_json: '{"path":"a"}' };
const client = { type: "tool", state: "executing", runs_on: "client", runner: OURS, tool_name: "sign", input: {} };

for (const [name, call, expected] of [
  ["one that waits for approval", waiting, "decision"],
  ["one that is decided", { ...waiting, decision: "deny" }, undefined],
  ["one that runs on the server", { ...client, runs_on: "server", runner: undefined }, undefined],
  ["one of this tab", client, "answer"],
  ["one of this tab that has its result", { ...client, state: "done" }, undefined],
  ["one of another client", { ...client, runner: "r_2" }, undefined],
  ["a question of another tab", { ...client, runner: "r_2", tool_name: "ask_user" }, "elsewhere"],
  ["one that runs without the user", { ...client, tool_name: "browser_info" }, undefined],
]) {
  test(`asks of ${name}: ${expected}`, () => assert.equal(asks(call, OURS), expected));
}

test("only a running turn asks, and its first call that waits for this tab", () => {
  const blocks = [{ type: "text" }, { ...client, runner: "r_2", tool_name: "ask_user" }, client, waiting];
  assert.equal(firstAsked({ state: "running", blocks }, OURS), client);
  assert.equal(firstAsked({ state: "done", blocks }, OURS), undefined);
  assert.equal(firstAsked(undefined, OURS), undefined);
});

test("an input is edited when it says something else than the model's, whatever its form", () => {
  const partial_json = '{"a": [1, {"b": null}], "c": "x"}';
  const call = (input) => ({ decision: "allow", partial_json, input });
  assert.equal(isEdited(call({ c: "x", a: [1, { b: null }] })), false);
  assert.equal(isEdited(call({ c: "x", a: [1, { b: 0 }] })), true);
  assert.equal(isEdited(call({ c: "x", a: [1] })), true);
  assert.equal(isEdited(call({ c: "x", a: { 0: 1, 1: { b: null } } })), true);
  assert.equal(isEdited({ ...call({}), decision: "deny" }), false);
});

test("the verdict tells what was decided, whether by edit, and why", () => {
  assert.equal(verdict(waiting), "");
  assert.equal(verdict({ ...waiting, decision: "allow" }), "Allowed");
  const edited = { ...waiting, decision: "allow", input: { path: "b" } };
  assert.equal(verdict(edited), "Allowed with a changed input");
  assert.equal(verdict({ ...waiting, decision: "deny", reason: "no" }), "Denied: no");
});

test("a question has the choices that are texts", () => {
  const asking = (input) => questionOf({ tool_name: "ask_user", input });
  assert.deepEqual(asking({ question: "Tea?", choices: ["Yes", 5] }), { question: "Tea?", choices: ["Yes"] });
  assert.deepEqual(asking({ question: "Tea?" }), { question: "Tea?", choices: [] });
  assert.equal(asking({ question: 5 }), undefined);
  assert.equal(asking(undefined), undefined);
  assert.equal(questionOf({ tool_name: "other", input: { question: "Tea?" } }), undefined);
});

test("an answer that comes too late is no refusal; one that cannot be is, in words", async () => {
  const failing = (code, message) => Promise.reject(new TurnwireError(code, message));
  assert.equal(await refusalOf(Promise.resolve()), undefined);
  assert.equal(await refusalOf(failing("already_decided", "x")), undefined);
  assert.equal(await refusalOf(failing("unknown_tool_call", "x")), undefined);
  assert.equal(await refusalOf(failing("bad_command", "input: at $.a")), "at $.a");
  await assert.rejects(refusalOf(Promise.reject(new RangeError())), RangeError);
});
