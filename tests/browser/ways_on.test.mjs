// What the page makes of turns that broke off, were held or replaced, and of what was chosen; pure.

import assert from "node:assert/strict";
import { test } from "node:test";

import { asks, cutOff, hasRun } from "../../client/turnwire_browser/static/page/asking.js";
import { chosen } from "../../client/turnwire_browser/static/page/choices.js";
import { Held } from "../../client/turnwire_browser/static/page/held.js";
import { sumOf } from "../../client/turnwire_browser/static/page/totals.js";
import { Replaced } from "../../client/turnwire_browser/static/turnwire/replaced.js";

const said = { block: 0, type: "text", complete: true, text: "x" };
const call = (tool_id, more = {}) => ({ block: 1, type: "tool", tool_id, tool_name: tool_id, state: "done", ...more });
const failed = { content: "", is_error: true, duration_ms: 0 };
const turn = (stop_reason, ...blocks) => ({ turn: "t", state: "done", blocks, done: { stop_reason, steps: 1 } });

test("cut off are the calls at the end of a turn that broke off, but for those that were denied or done", () => {
  const names = (...given) => cutOff(turn(...given)).map(({ tool_id }) => tool_id);
  const early = call("early", { result: failed });
  const done = call("done", { result: { ...failed, is_error: false } });
  const denied = call("denied", { decision: "deny", result: failed });
  const open = call("open", { state: "executing" });
  const cut = call("cut", { result: failed });
  assert.deepEqual(names("cancelled", early, said, done, denied, open, cut), ["open", "cut"]);
  assert.deepEqual(names("interrupted", cut), ["cut"]);
  assert.deepEqual(names("end_turn", cut), []);
  assert.deepEqual(names("cancelled", cut, said), []);
});

test("a call had begun once it had its input, and was allowed where somebody was asked", () => {
  assert(hasRun(call("a", { input: {} })));
  assert(!hasRun(call("a")));
  assert(!hasRun(call("a", { input: {}, expires_at: "T" })));
  assert(hasRun(call("a", { input: {}, expires_at: "T", decision: "allow" })));
});

test("what is always allowed asks nobody", () => {
  const waiting = call("a", { state: "waiting" });
  assert.equal(asks(waiting, "r"), "decision");
  assert.equal(asks(waiting, "r", () => true), undefined);
});

test("the next message takes the place of what was held at the end, and of nothing else", () => {
  const held = new Held();
  for (const id of ["b", "c", "d"]) held.add(id);
  const one = (id, more) => ({ turn: id, state: "done", blocks: [], ...more });
  const [ran, b, c] = [one("a", { model: "m" }), one("b"), one("c")];
  assert.equal(held.from([ran, b, c]), "b");
  assert.equal(held.from([ran, b, one("x"), c]), "c");
  assert.equal(held.from([ran, b, one("d", { model: "m" })]), undefined);
  assert.equal(held.from([ran, b, one("d", { state: "queued" })]), undefined);
  assert.equal(held.from([]), undefined);
});

test("totals are of what has ended", () => {
  const usage = { input_tokens: 1, cache_read_input_tokens: 20, cache_creation_input_tokens: 300, output_tokens: 5 };
  const ended = { ...turn("end_turn"), usage, done: { steps: 1, cost_usd: 0.5 } };
  const more = { ...ended, done: { steps: 2, cost_usd: 0.25 } };
  const { read, wrote, cost_usd, last } = sumOf([ended, more, { state: "running", usage, blocks: [] }]);
  assert.deepEqual([read, wrote, cost_usd, last], [642, 10, 0.75, ended]);
  assert.equal(sumOf([{ ...ended, done: { steps: 1 } }]).cost_usd, undefined);
  const context = { tokens: 5, window: 10 };
  assert.equal(sumOf([{ ...ended, context: { tokens: 9 } }, { state: "running", blocks: [], context }, ended]).context, context);
});

test("what was chosen goes along as far as the server lets clients choose", () => {
  const settings = (values) => ({ get: (name) => values[name] ?? "" });
  const all = { model: "m2", system: "s", thinking: "disabled" };
  const welcome = { models: ["m1", "m2"], client_options: ["model", "system", "thinking"] };
  const thinking = { type: "disabled" };
  assert.deepEqual(chosen(settings(all), welcome), { model: "m2", system: "s", thinking });
  assert.deepEqual(chosen(settings(all), { ...welcome, client_options: ["thinking"] }), { thinking });
  assert.deepEqual(chosen(settings({ model: "gone" }), welcome), {});
  assert.deepEqual(chosen(settings(all), { models: ["m1", "m2"] }), {});
  assert.deepEqual(chosen(settings(all), undefined), {});
});

test("what a turn replaced, and what that had replaced, is known from the earliest on", () => {
  const replaced = new Replaced();
  const [one, two, three] = ["t_1", "t_2", "t_3"].map((turn) => ({ turn, state: "done", blocks: [] }));
  replaced.note({ turn: "t_2", from_turn: "t_1" }, [one]);
  replaced.note({ turn: "t_3", from_turn: "t_2" }, [two]);
  replaced.note({ turn: "t_4", from_turn: "t_0" }, [three]);
  assert.deepEqual(replaced.of("t_3"), [one, two]);
  assert.deepEqual(replaced.of("t_2"), [one]);
  assert.deepEqual(replaced.of("t_4"), []);
  replaced.clear();
  assert.deepEqual(replaced.of("t_3"), []);
});
