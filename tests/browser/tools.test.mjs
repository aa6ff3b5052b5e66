// Tool calls over the wire: run here once, answered, reported, decided; against a scripted server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { idle, scripted, settled } from "./scripted.mjs";

const AT = "2026-01-01T00:00:00Z";
const NO_USAGE = { input_tokens: 0, output_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 };
const PLACE = { conversation: "c_1", turn: "t_1" };
const TITLE = { name: "title", description: "The page's title.", input_schema: { type: "object" } };

/** A turn that has come as far as a call of `title` that `runner` is to run: six events. */
function called({ runner, key, tool_id = "u1", input = {} }) {
  const events = [
    { type: "message", role: "user", content: "hi", ...(key && { key }) },
    { type: "start", model: "m" },
    { type: "step", step: 1, attempt: 1, model: "m" },
    { type: "tool_start", block: 0, tool_id, tool_name: "title", runs_on: "client" },
    { type: "block_stop", block: 0 },
    { type: "tool_executing", tool_id, tool_name: "title", input, runs_on: "client", runner },
  ];
  return events.map((event, index) => ({ ...event, ...PLACE, seq: index + 1, at: AT }));
}

const result = (seq, more = {}) => ({
  ...PLACE, type: "tool_result", seq, at: AT, tool_id: "u1", content: "", is_error: false, duration_ms: 1, ...more,
});
const done = (seq) => ({
  ...PLACE, type: "done", seq, at: AT, stop_reason: "end_turn", usage: NO_USAGE, steps: 1, duration_ms: 1,
});

/** A wire with the tool `title`, a conversation that is followed and live, and what its calls have been told. */
function offering(run, options = {}) {
  const one = scripted(options);
  const calls = [];
  const { wire } = one;
  wire.tool({ ...TITLE, run: run && ((input, context) => (calls.push({ input, context }), run(input, context))) });
  one.server.welcome({ limits: { max_frame_bytes: 2000 } });
  const chat = wire.conversation("c_1");
  chat.subscribe(() => {});
  return { one, wire, chat, calls, runner: wire.runner };
}

/** The same, and the call has come. */
async function running(run, more = {}) {
  const here = offering(run);
  here.one.server.ackSubscribe();
  here.one.server.say(...called({ runner: here.runner, ...more }));
  await idle();
  return here;
}

/** A promise, and what settles it. */
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
}

test("a subscription says who it is", () => {
  const { one, wire } = offering(() => "");
  assert.equal(one.server.take("subscribe").runner, wire.runner);
});

test("every send offers the tools of the wire, with its runner, and those of the send", () => {
  const { one, wire, chat } = offering(() => "");
  one.server.ackSubscribe();
  const ask = { name: "ask", description: "Asks.", input_schema: { type: "object" } };
  chat.send("hi", { client_tools: [ask] });
  const { client_tools, runner } = one.server.take("send");
  assert.deepEqual([client_tools, runner], [[TITLE, ask], wire.runner]);
  assert.match(runner, /^[0-9a-f]{32}$/);
});

for (const [what, tool] of [
  ["a name with a space", { ...TITLE, name: "a b" }],
  ["no name", { description: "", input_schema: {} }],
  ["a name that is taken", TITLE],
  ["no description", { ...TITLE, name: "other", description: undefined }],
  ["no schema", { ...TITLE, name: "other", input_schema: undefined }],
  ["a run that is no function", { ...TITLE, name: "other", run: "no" }],
]) {
  test(`a tool with ${what} is a TypeError`, () => {
    const { wire } = offering(() => "");
    assert.throws(() => wire.tool(tool), TypeError);
  });
}

test("a call is run with its input, and told which it is", async () => {
  const { one, calls, runner } = await running(() => "Turnwire", { input: { full: true } });
  assert.deepEqual(calls[0].input, { full: true });
  const { conversation, turn, tool_id, signal } = calls[0].context;
  assert.deepEqual([conversation, turn, tool_id, signal.aborted], ["c_1", "t_1", "u1", false]);
  const { id, ...output } = one.server.take("tool_output");
  const about = { type: "tool_output", conversation: "c_1", tool_id: "u1", runner };
  assert.deepEqual(output, { ...about, content: "Turnwire", is_error: false });
});

const BLOCKS = [{ type: "text", text: "see" }, { type: "image", blob: "b_1", media_type: "image/png", bytes: 3 }];
for (const [what, run, content, isError] of [
  ["text", () => "text", "text", false],
  ["nothing", () => {}, "", false],
  ["a promise of an object", async () => ({ a: [1, null] }), '{"a":[1,null]}', false],
  ["a list that is no blocks", () => [{ type: "text" }], '[{"type":"text"}]', false],
  ["content blocks", () => BLOCKS, BLOCKS, false],
  ["half a surrogate pair", () => "a\ud83d", "a\ufffd", false],
  ["an exception", () => { throw new RangeError("no"); }, "RangeError: no", true],
  ["a rejection", async () => { throw new TypeError("no"); }, "TypeError: no", true],
  ["what is no JSON", () => 1n, "TypeError: Do not know how to serialize a BigInt", true],
]) {
  test(`${what} of a tool becomes its result`, async (context) => {
    context.mock.method(console, "warn", () => {});
    const { one } = await running(run);
    const output = one.server.take("tool_output");
    assert.deepEqual([output.content, output.is_error], [content, isError]);
  });
}

test("a call of another runner is not run", async () => {
  const { calls } = await running(() => "", { runner: "somebody else" });
  assert.deepEqual(calls, []);
});

test("a tool without run is answered by whoever has a form for it", async () => {
  const { one, chat, runner } = await running(undefined);
  assert.deepEqual(one.server.received, []);
  const given = chat.toolOutput("u1", "Oslo");
  const { id, ...output } = one.server.take("tool_output");
  const about = { type: "tool_output", conversation: "c_1", tool_id: "u1", runner };
  assert.deepEqual(output, { ...about, content: "Oslo", is_error: false });
  one.server.say({ type: "ack", id });
  assert.deepEqual(await settled(given), { value: undefined });
});

test("what is there already is not run before its end has been read", async () => {
  const { one, calls, runner } = offering(() => "", { runner: "r" });
  one.server.ackSubscribe({ head: 8 });
  one.server.say(...called({ runner }), result(7), done(8));
  await idle();
  assert.deepEqual([calls, one.server.received], [[], []]);
});

test("nor is what a repeated first send finds there", async () => {
  const one = scripted();
  const ran = [];
  one.wire.tool({ ...TITLE, run: () => ran.push("title") });
  one.server.welcome();
  one.wire.conversation().send("hi");
  const { key } = one.server.received[0];
  one.reconnect();
  one.server.ackSend();
  one.server.say(...called({ runner: one.wire.runner, key }));
  await idle();
  one.server.ackSubscribe({ after: 0, head: 8 });
  one.server.say(result(7), done(8));
  await idle();
  assert.deepEqual(ran, []);
});

test("unfollowed, a conversation is left only when no turn may call here any more", async () => {
  const { one, chat, calls, runner } = offering(() => "late");
  one.server.ackSubscribe();
  const sent = chat.send("hi");
  one.server.ackSend();
  const turn = await sent;
  const events = called({ runner });
  chat.unfollow();
  assert.equal((await settled(turn.done)).error.code, "closed");
  assert.deepEqual(one.server.received, []);
  one.server.say(...events);
  await idle();
  assert.equal(calls.length, 1);
  assert.equal(one.server.take("tool_output").content, "late");
  one.server.say(result(7));
  assert.deepEqual(one.server.received, []);
  one.server.say(done(8));
  assert.deepEqual(one.server.received.map(({ type }) => type), ["unsubscribe"]);
});

test("nor is one left in which a call waits for the page's answer", () => {
  const { one, chat } = offering(undefined, { runner: "kept" });
  one.server.ackSubscribe({ head: 6 });
  one.server.say(...called({ runner: "kept", key: "k" }));
  chat.unfollow();
  assert.deepEqual(one.server.received, []);
  one.server.say(result(7));
  assert.deepEqual(one.server.received.map(({ type }) => type), ["unsubscribe"]);
});

test("followed again before that, it is not left", async () => {
  const { one, chat } = await running(() => new Promise(() => {}));
  chat.unfollow();
  chat.subscribe(() => {});
  one.server.say(result(7), done(8));
  assert.deepEqual(one.server.received, []);
});

test("a call is run once, though a reset shows it again", async () => {
  const { one, calls, runner } = await running(() => "");
  one.server.say({ type: "reset", conversation: "c_1", epoch: "f", reason: "" });
  one.server.ackSubscribe({ head: 6, epoch: "f" });
  one.server.say(...called({ runner }));
  await idle();
  assert.equal(calls.length, 1);
});

test("a tool runs on while the connection is lost, and its output is sent until it is acked", async () => {
  const { opened, open } = gate();
  const { one, calls } = await running(() => opened);
  one.reconnect();
  one.server.ackSubscribe({ head: 6 });
  open("late");
  await idle();
  assert.equal(one.server.take("tool_output").content, "late");
  one.timers.advance(10);
  one.reconnect();
  one.server.ackSubscribe({ head: 6 });
  const { id, content } = one.server.take("tool_output");
  assert.deepEqual([content, calls.length], ["late", 1]);
  one.server.say({ type: "ack", id });
  one.timers.advance(10);
  one.reconnect();
  assert.deepEqual(one.server.received.map(({ type }) => type), ["subscribe"]);
});

test("a call whose result came while the connection was lost is not run", async () => {
  const { one, calls, runner } = offering(() => "");
  one.server.ackSubscribe();
  const events = called({ runner });
  one.server.say(...events.slice(0, 5));
  one.reconnect();
  one.server.ackSubscribe({ head: 7 });
  one.server.say(events[5]);
  one.server.say(result(7));
  await idle();
  assert.deepEqual(calls, []);
});

for (const [what, end] of [
  ["the call has its result", ({ one }) => one.server.say(result(7))],
  ["the turn is over", ({ one }) => one.server.say(done(7))],
  ["the wire is closed", ({ wire }) => wire.close()],
]) {
  test(`the signal of a call is aborted when ${what}, and nothing is sent any more`, async () => {
    const { opened, open } = gate();
    const here = await running(() => opened);
    const { signal, progress } = here.calls[0].context;
    end(here);
    assert(signal.aborted);
    progress("still here");
    open("late");
    await idle();
    assert.deepEqual(here.one.server.received, []);
  });
}

test("progress goes out every 100 ms at most, bounded to what is allowed", async () => {
  const { one, calls } = await running(() => new Promise(() => {}));
  const { progress } = calls[0].context;
  progress("one", 0.5);
  progress("too soon", 0.6);
  one.timers.advance(0.1);
  progress("x".repeat(1500), 7);
  one.timers.advance(0.1);
  progress("three", Number.NaN);
  const sent = one.server.received.map(({ type, message, fraction }) => [type, message.length, fraction]);
  assert.deepEqual(sent, [["progress", 3, 0.5], ["progress", 1000, 1], ["progress", 5, undefined]]);
  one.server.drop();
  one.timers.advance(0.1);
  progress("nobody there");
  one.timers.advance(15);
  one.server.welcome();
  assert.deepEqual(one.server.received.map(({ type }) => type), ["subscribe"]);
});

test("a result too large for a frame is an error that says so", async () => {
  const { one } = await running(() => "x".repeat(2500));
  const { content, is_error } = one.server.take("tool_output");
  assert.match(content, /could not be sent: .*2000 bytes/);
  assert.equal(is_error, true);
});

test("a result the server refuses is an error that says why", async () => {
  const { one } = await running(() => BLOCKS);
  const { id } = one.server.take("tool_output");
  one.server.say({ type: "reject", id, code: "bad_command", message: "content.1.blob: no such blob", retryable: false });
  await idle();
  assert.match(one.server.received[0].content, /no such blob/);
});

for (const code of ["already_decided", "unknown_tool_call", "unknown_conversation"]) {
  test(`a result that nobody waits for is dropped: ${code}`, async () => {
    const { one } = await running(() => "late");
    const { id } = one.server.take("tool_output");
    one.server.say({ type: "reject", id, code, message: "", retryable: false });
    await idle();
    assert.deepEqual(one.server.received, []);
  });
}

test("what a page that is no more may have begun is answered, not run again", async () => {
  const { one, wire, calls } = offering(() => "", { runner: "kept" });
  assert.equal(wire.runner, "kept");
  one.server.ackSubscribe({ head: 6 });
  one.server.say(...called({ runner: "kept", key: "k" }));
  await idle();
  const { content, is_error } = one.server.take("tool_output");
  assert.deepEqual([content, is_error, calls], ["The page was reloaded while the tool ran.", true, []]);
});

test("a page that was reloaded runs what is called from then on", async () => {
  const { one, calls } = offering(() => "", { runner: "kept" });
  const events = called({ runner: "kept", key: "k" });
  one.server.ackSubscribe({ head: 5 });
  one.server.say(...events);
  await idle();
  assert.equal(calls.length, 1);
});

test("a call of a send whose ack was lost with the first subscription is run", async () => {
  const { one, chat, calls, runner } = offering(() => "");
  chat.send("hi");
  const { key } = one.server.take("send");
  one.reconnect();
  one.server.ackSubscribe({ head: 6 });
  one.server.say(...called({ runner, key }));
  await idle();
  assert.equal(calls.length, 1);
});

/** A followed conversation with a call that waits for approval. */
function waiting() {
  const here = offering(() => "");
  const { one } = here;
  one.server.ackSubscribe();
  const ask = { type: "tool_approval", seq: 6, tool_id: "u1", tool_name: "title", input: {}, expires_at: AT };
  one.server.say(...called({}).slice(0, 5), { ...PLACE, ...ask, at: AT });
  const decided = (decision) => one.server.say({ ...PLACE, type: "tool_decision", seq: 7, at: AT, tool_id: "u1", decision });
  return { ...here, decided };
}

for (const [decision, more] of [["allow", {}], ["allow", { input: { full: true } }], ["deny", { reason: "no" }]]) {
  test(`${decision} with ${JSON.stringify(more)} is sent as it is`, async () => {
    const { one, chat } = waiting();
    const answered = chat.decide("u1", decision, more);
    const { id, ...command } = one.server.take("decide");
    assert.deepEqual(command, { type: "decide", conversation: "c_1", tool_id: "u1", decision, ...more });
    one.server.say({ type: "ack", id });
    assert.deepEqual(await settled(answered), { value: undefined });
  });
}

const decidedAlready = (one) => {
  const { id } = one.server.take("decide");
  one.server.say({ type: "reject", id, code: "already_decided", message: "", retryable: false });
};

test("a decision that comes too late is refused, also if it is the same", async () => {
  const { one, chat, decided } = waiting();
  const answered = chat.decide("u1", "allow");
  decided("allow");
  decidedAlready(one);
  assert.equal((await settled(answered)).error.code, "already_decided");
});

for (const [logged, outcome] of [["allow", undefined], ["deny", "already_decided"]]) {
  test(`a decision repeated after a lost ack ends as the log says: ${logged}`, async () => {
    const { one, chat, decided } = waiting();
    const answered = chat.decide("u1", "allow");
    one.reconnect();
    one.server.ackSubscribe({ head: 7 });
    decidedAlready(one);
    assert.equal(await settled(answered), undefined);
    decided(logged);
    assert.equal((await settled(answered)).error?.code, outcome);
  });
}

test("without a conversation there is nothing to answer", async () => {
  const { wire } = scripted();
  const { error } = await settled(wire.conversation().decide("u1", "allow"));
  assert.equal(error.code, "unknown_conversation");
});
