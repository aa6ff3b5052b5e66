// The consent that is given once for a tool: which calls are decided by it, and when the user is asked after all.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Consent } from "../../client/turnwire_browser/static/page/consent.js";
import { TurnwireError } from "../../client/turnwire_browser/static/turnwire/turnwire.js";
import { idle } from "./scripted.mjs";

const call = (tool_id, more = {}) => ({ block: 0, type: "tool", tool_id, tool_name: "erase", state: "waiting", ...more });
const running = (...blocks) => ({ turn: "t_1", state: "running", blocks });

/** What a tab remembers. @type {Map<string, string>} */
const stored = new Map();

beforeEach(() => {
  stored.clear();
  globalThis.sessionStorage = {
    getItem: (name) => stored.get(name) ?? null,
    setItem: (name, text) => void stored.set(name, text),
    removeItem: (name) => void stored.delete(name),
  };
});

/** A consent, the calls that it decided, and how often it told of a change. */
function given(id, outcome = () => Promise.resolve()) {
  const seen = { decided: [], changes: 0 };
  const decide = (toolId) => {
    seen.decided.push(toolId);
    return outcome();
  };
  return { consent: new Consent(id, "r_1", decide, () => (seen.changes += 1)), seen };
}

test("each waiting call of an allowed tool is decided once, and no other", () => {
  const { consent, seen } = given("c_1");
  const turn = running(
    call("a"),
    call("b", { tool_name: "send" }),
    call("c", { decision: "deny" }),
    call("d", { state: "executing" }),
  );
  consent.decideAllowed(turn);
  assert.deepEqual(seen.decided, []);
  consent.allow("erase", true);
  consent.decideAllowed({ ...turn, state: "done" });
  consent.decideAllowed(undefined);
  assert.deepEqual(seen.decided, []);
  consent.decideAllowed(turn);
  consent.decideAllowed(turn);
  assert.deepEqual(seen, { decided: ["a"], changes: 0 });
  consent.allow("erase", false);
  consent.decideAllowed(running(call("e")));
  assert.deepEqual(seen.decided, ["a"]);
});

test("of a call that could not be decided the user is asked, of others of its tool not", async () => {
  const refused = new TurnwireError("storage_unavailable", "No.");
  const { consent, seen } = given("c_1", () => Promise.reject(refused));
  consent.allow("erase", true);
  // As views are given it: without the object.
  const { isAllowed } = consent;
  consent.decideAllowed(running(call("a")));
  assert(isAllowed(call("a")));
  await idle();
  assert.equal(seen.changes, 1);
  assert(!isAllowed(call("a")));
  assert(isAllowed(call("b")));
  consent.decideAllowed(running(call("a")));
  assert.deepEqual(seen, { decided: ["a"], changes: 1 });
});

test("what was allowed in a new conversation is remembered of the one that it becomes", () => {
  const { consent } = given(undefined);
  consent.allow("erase", true);
  consent.move("c_1");
  assert(given("c_1").consent.isAllowed(call("a")));
  assert(!given(undefined).consent.isAllowed(call("a")));
  assert(!given("c_2").consent.isAllowed(call("a")));
});
