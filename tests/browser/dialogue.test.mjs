// What a page shows of a conversation and does in it: status, error, stop, following; against a scripted server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { dialogueOf } from "../../client/turnwire_browser/static/turnwire/dialogue.js";
import { answer, idle, scripted, settled } from "./scripted.mjs";

/** A dialogue somebody listens to; `leave` ends that. */
function watched(id) {
  const one = scripted();
  const dialogue = dialogueOf(one.wire, one.wire.conversation(id));
  const leave = dialogue.subscribe(() => {});
  one.server.welcome();
  return { ...one, server: one.server, dialogue, leave, status: () => dialogue.getSnapshot().status };
}

const reject = (server, type, code) => {
  const { id } = server.take(type);
  server.say({ type: "reject", id, code, message: "no", retryable: false });
};

test("it is ready, submitted until something of the answer is there, streaming, and ready again", async () => {
  const { dialogue, server, status } = watched();
  assert.equal(status(), "ready");
  const sending = dialogue.send("hi");
  assert.equal(status(), "submitted");
  server.ackSend();
  const turn = await sending;
  assert.equal(turn.id, "t_1");
  // The message comes later than the ack.
  await idle();
  assert.equal(status(), "submitted");
  const [message, start, ...rest] = answer();
  server.say(message, start);
  await idle();
  assert.equal(status(), "submitted");
  server.say(...rest.slice(0, 2));
  assert.equal(status(), "streaming");
  server.say(...rest.slice(2));
  await idle();
  assert.equal(status(), "ready");
  assert.equal(dialogue.getSnapshot().turns[0].blocks[0].text, "one two three");
});

test("a refused send is the error, until the next command", async () => {
  const { dialogue, server, status } = watched("c_1");
  server.ackSubscribe();
  const sending = dialogue.send("hi");
  reject(server, "send", "busy");
  assert.equal(await sending, undefined);
  await idle();
  assert.deepEqual([status(), dialogue.getSnapshot().error.code], ["error", "busy"]);
  void dialogue.send("again");
  assert.deepEqual([status(), dialogue.getSnapshot().error], ["submitted", undefined]);
});

test("while a turn runs it is streaming, whatever was refused meanwhile", async () => {
  const { dialogue, server, status } = watched("c_1");
  server.ackSubscribe({ head: 4 });
  server.say(...answer().slice(0, 4));
  const deciding = dialogue.decide("tool_1", "allow");
  reject(server, "decide", "unknown_tool_call");
  await deciding;
  assert.deepEqual([status(), dialogue.getSnapshot().error.code], ["streaming", "unknown_tool_call"]);
});

test("a failed turn is the error", async () => {
  const { dialogue, server, status } = watched("c_1");
  server.ackSubscribe({ head: 7 });
  const events = answer({ done: { stop_reason: "failed" } });
  const error = { type: "error", code: "overloaded", message: "busy", retryable: true };
  events.splice(5, 1, { ...events[5], ...error, block: undefined, text: undefined });
  server.say(...events);
  assert.deepEqual([status(), dialogue.getSnapshot().error.code], ["error", "overloaded"]);
});

test("the end of the connection is the error, of a new conversation too, and nothing runs then", async () => {
  const one = watched();
  const running = watched("c_1");
  running.server.ackSubscribe({ head: 4 });
  running.server.say(...answer().slice(0, 4));
  for (const { dialogue, server, status } of [one, running]) {
    server.drop(4501, "expired");
    assert.deepEqual([status(), dialogue.getSnapshot().error.code], ["error", "unauthorized"]);
  }
});

test("stop cancels the newest turn that has not ended", async () => {
  const { dialogue, server } = watched("c_1");
  server.ackSubscribe({ head: 5 });
  server.say(...answer().slice(0, 4), { ...answer()[0], turn: "t_2", seq: 5 });
  const stopping = dialogue.stop();
  await idle();
  const { id, turn } = server.take("cancel");
  assert.equal(turn, "t_2");
  server.say({ type: "ack", id, outcome: "cancelled" });
  assert.equal(await stopping, undefined);
});

test("stop waits for what was just sent to have an id, and does nothing where nothing runs", async () => {
  const { dialogue, server } = watched();
  await dialogue.stop();
  assert.throws(() => server.take("cancel"));
  void dialogue.send("hi");
  await idle();
  void dialogue.stop();
  await idle();
  assert.throws(() => server.take("cancel"));
  server.ackSend();
  await idle();
  assert.equal(server.take("cancel").turn, "t_1");
});

test("stop of a send that is refused does nothing", async () => {
  const { dialogue, server } = watched();
  void dialogue.send("hi");
  await idle();
  const stopping = dialogue.stop();
  reject(server, "send", "busy");
  await stopping;
  assert.throws(() => server.take("cancel"));
});

test("it is followed while somebody listens, also if he leaves and comes back at once", async () => {
  const { dialogue, server, leave } = watched("c_1");
  server.ackSubscribe();
  leave();
  const again = dialogue.subscribe(() => {});
  await idle();
  assert.throws(() => server.take("unsubscribe"));
  const other = dialogue.subscribe(() => {});
  again();
  await idle();
  assert.throws(() => server.take("unsubscribe"));
  other();
  await idle();
  server.take("unsubscribe");
});

test("who leaves with a send on its way is gone once that is answered", async () => {
  const { dialogue, server, leave } = watched("c_1");
  server.ackSubscribe();
  void dialogue.send("hi");
  await idle();
  leave();
  await idle();
  assert.throws(() => server.take("unsubscribe"));
  server.ackSend();
  server.say(answer()[0]);
  await idle();
  server.take("unsubscribe");
});

test("two views of a conversation share one dialogue; a snapshot is the same until something changes", async () => {
  const { dialogue, server, wire } = watched("c_1");
  assert.equal(dialogueOf(wire, wire.conversation("c_1")), dialogue);
  const before = dialogue.getSnapshot();
  assert.equal(dialogue.getSnapshot(), before);
  server.ackSubscribe({ head: 1 });
  server.say(answer()[0]);
  assert.notEqual(dialogue.getSnapshot(), before);
  assert.equal(dialogue.getSnapshot(), dialogue.getSnapshot());
  const { turns, status, connection } = dialogue.getServerSnapshot();
  assert.deepEqual([turns, status, connection], [[], "ready", { state: "connecting" }]);
});

test("a mistake of the caller is thrown, not shown", async () => {
  const { dialogue } = watched("c_1");
  const circle = {};
  circle.circle = circle;
  assert((await settled(dialogue.decide("tool_1", "allow", { input: circle }))).error instanceof TypeError);
});
