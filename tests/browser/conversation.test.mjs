// Conversations and turns over the wire: sends, events, stops, and what a lost connection may not do to them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { answer, idle, merged, scripted, settled } from "./scripted.mjs";

/** A wire that is open, with a conversation that is followed and live. */
function followed() {
  const one = scripted();
  one.server.welcome();
  const chat = one.wire.conversation("c_1");
  chat.subscribe(() => {});
  one.server.ackSubscribe();
  return { ...one, chat, server: one.server, last: () => one.server, reconnect: one.reconnect };
}

/** The same, with a turn that has been sent and acked. */
async function asked() {
  const one = followed();
  const sent = one.chat.send("hi");
  one.server.ackSend();
  return { ...one, turn: await sent };
}

async function collect(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

const texts = (chat) => chat.getSnapshot().turns.map(({ blocks }) => blocks.map(({ text }) => text).join(""));

test("a first send makes the conversation, and its answer arrives everywhere", async () => {
  const { wire, server } = scripted();
  const chat = wire.conversation();
  assert.deepEqual(chat.getSnapshot(), { id: undefined, seq: 0, turns: [], state: "new" });
  const trace = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
  const sent = chat.send("hi", { model: "m", trace });
  assert.deepEqual(server.received, []);
  server.welcome();
  const { key, ...command } = server.received[0];
  assert.deepEqual(command, { type: "send", id: "1", content: "hi", model: "m", trace, runner: wire.runner });
  assert.match(key, /^[0-9a-f]{32}$/);
  server.ackSend();
  server.say(...answer());
  const turn = await sent;
  assert.deepEqual([turn.id, turn.conversation, chat.id], ["t_1", "c_1", "c_1"]);
  assert.equal(wire.conversation("c_1"), chat);
  assert.deepEqual(await collect(turn), merged(answer()));
  assert.equal((await collect(turn.textStream)).join(""), "one two three");
  const { text, stopReason, blocks } = await turn.done;
  assert.deepEqual([text, stopReason], ["one two three", "end_turn"]);
  assert.deepEqual(blocks, chat.getSnapshot().turns[0].blocks);
  assert.deepEqual([chat.getSnapshot().state, chat.getSnapshot().seq], ["live", 7]);
  assert.deepEqual(server.received, []);
});

test("a second send before the first ack waits, and goes into the same conversation", async () => {
  const { wire, server } = scripted();
  server.welcome();
  const chat = wire.conversation();
  const first = chat.send("one");
  const second = chat.send("two", { if_busy: "queue" });
  await idle();
  assert.equal(server.received.length, 1);
  server.ackSend();
  await first;
  await idle();
  assert.equal(server.received[0].conversation, "c_1");
  server.ackSend({ turn: "t_2" });
  assert.equal((await second).id, "t_2");
});

test("after a rejected first send the next one makes the conversation", async () => {
  const { wire, server } = scripted();
  server.welcome();
  const chat = wire.conversation();
  const first = chat.send("one");
  const second = chat.send("two");
  const { id } = server.take("send");
  server.say({ type: "reject", id, code: "too_many", message: "m", retryable: true, retry_after_seconds: 2 });
  const { error } = await settled(first);
  assert.deepEqual([error.name, error.code, error.retryable, error.retryAfterSeconds], ["TurnwireError", "too_many", true, 2]);
  assert.equal(server.received[0].conversation, undefined);
  server.ackSend();
  assert.equal((await second).id, "t_1");
});

test("a listener makes it follow: loading until the backlog is applied", () => {
  const { wire, server } = scripted();
  server.welcome();
  const chat = wire.conversation("c_1");
  assert.deepEqual(server.received, []);
  chat.subscribe(() => {});
  chat.subscribe(() => {});
  assert.equal(server.received.length, 1);
  server.ackSubscribe({ head: 7 });
  const events = merged(answer());
  server.say(...events.slice(0, -1));
  assert.equal(chat.getSnapshot().state, "loading");
  server.say(events.at(-1));
  assert.equal(chat.getSnapshot().state, "live");
});

test("a send follows first, so that the fold begins at the beginning", () => {
  const { wire, server } = scripted();
  wire.conversation("c_1").send("hi");
  server.welcome();
  assert.deepEqual(server.received.map(({ type }) => type), ["subscribe", "send"]);
});

test("listeners hear once for messages that came together, and a snapshot stays the same between", async () => {
  const { chat, server } = followed();
  let heard = 0;
  chat.subscribe(() => (heard += 1));
  server.say(...answer());
  const snapshot = chat.getSnapshot();
  await idle();
  assert.equal(heard, 1);
  assert.equal(chat.getSnapshot(), snapshot);
});

for (let cut = 1; cut <= 7; cut += 1) {
  test(`a connection lost after event ${cut} resumes after it, without gap or duplicate`, async () => {
    const { chat, server, last, reconnect, turn } = await asked();
    const events = answer();
    const read = [];
    const reading = (async () => {
      for await (const event of turn) read.push(event);
    })();
    for (const event of events.slice(0, cut)) {
      server.say(event);
      await idle();
    }
    reconnect();
    const { after, epoch } = last().received[0];
    assert.deepEqual([after, epoch], [cut, "e"]);
    last().ackSubscribe({ head: 7 });
    last().say(...events.slice(Math.max(0, cut - 2)));
    await reading;
    assert.deepEqual(read, [...events.slice(0, cut), ...merged(events, cut)]);
    assert.deepEqual(texts(chat), ["one two three"]);
    assert.equal((await turn.done).text, "one two three");
  });
}

test("a send whose ack was lost is repeated with its key, after the subscribe", async () => {
  const { chat, server, last, reconnect } = followed();
  const sent = chat.send("hi");
  const first = server.take("send");
  reconnect();
  assert.deepEqual(last().received.map(({ type }) => type), ["subscribe", "send"]);
  assert.deepEqual(last().received[1], first);
  last().ackSubscribe({ head: 3 });
  last().say(...answer().slice(0, 3));
  last().ackSend();
  last().say(...answer().slice(3));
  assert.deepEqual(await collect(await sent), merged(answer()));
});

test("a repeated send of a turn that has ended gives its events all the same", async () => {
  const { chat, server } = followed();
  server.say(...answer());
  const sent = chat.send("hi", { key: "k" });
  server.ackSend();
  const turn = await sent;
  assert.deepEqual(await collect(turn), merged(answer()));
  assert.equal((await turn.done).text, "one two three");
});

test("a first send repeated over a reconnect is followed from the beginning", async () => {
  const one = scripted();
  one.server.welcome();
  const chat = one.wire.conversation();
  const sent = chat.send("hi");
  one.reconnect();
  one.server.ackSend();
  one.server.say(...merged(answer()));
  assert.equal((await (await sent).done).text, "one two three");
});

test("a new object whose key is of a later turn loads what came before", async () => {
  const { wire, server } = scripted();
  server.welcome();
  const chat = wire.conversation();
  const sent = chat.send("hi", { key: "k" });
  server.ackSend({ turn: "t_2", seq: 8, after: 7 });
  const later = answer({ turn: "t_2", first: 8 });
  assert.equal(chat.getSnapshot().state, "loading");
  server.say(later[0]);
  server.ackSubscribe({ head: 8 });
  server.say(...merged(answer()), ...later);
  assert.equal((await (await sent).done).text, "one two three");
  assert.deepEqual(texts(chat), ["one two three", "one two three"]);
});

for (const [code, error] of [
  [1002, "bad_command"],
  [1007, "bad_command"],
  [1009, "too_large"],
]) {
  test(`close code ${code} fails what was sent and not answered with ${error}, and nothing else`, async () => {
    const { chat, server, last, reconnect } = followed();
    const sent = chat.send("hi");
    server.take("send");
    reconnect(code);
    assert.equal((await settled(sent)).error.code, error);
    assert.deepEqual(last().received.map(({ type }) => type), ["subscribe"]);
    last().ackSubscribe();
    const next = chat.send("again");
    last().ackSend();
    assert.equal((await next).id, "t_1");
  });
}

test("a send that the connection never saw is not blamed for its close", async () => {
  const { chat, server, last, reconnect } = followed();
  server.say({ type: "going_away", reconnect_after_seconds: 0 });
  const sent = chat.send("hi");
  reconnect(1009);
  last().ackSend();
  assert.equal((await sent).id, "t_1");
});

test("a message above the server's limit fails at once, in bytes of UTF-8", async () => {
  const { chat, server } = followed();
  assert.equal((await settled(chat.send("é".repeat(500)))).error.code, "too_large");
  assert.deepEqual(server.received, []);
  chat.send("e".repeat(500));
  assert.equal(server.received.length, 1);
});

test("a gap resubscribes from the cursor, once, and applies nothing until then", () => {
  const { chat, server } = followed();
  const events = answer();
  server.say(events[0], events[2], events[3]);
  assert.equal(chat.getSnapshot().seq, 1);
  assert.deepEqual(server.received.map(({ type, after }) => [type, after]), [["subscribe", 1]]);
  server.ackSubscribe({ head: 7 });
  server.say(...events.slice(1));
  assert.deepEqual(texts(chat), ["one two three"]);
});

for (const order of ["before", "after"]) {
  test(`a reset told ${order} the ack drops the fold, and repeats nothing to a reader`, async () => {
    const { chat, server, last, reconnect, turn } = await asked();
    const events = answer();
    const read = [];
    const reading = (async () => {
      for await (const event of turn) read.push(event);
    })();
    for (const event of events.slice(0, 5)) {
      server.say(event);
      await idle();
    }
    reconnect();
    const reset = { type: "reset", conversation: "c_1", epoch: "f", reason: "another epoch" };
    if (order === "before") last().say(reset);
    last().ackSubscribe({ head: 7, epoch: "f", after: 0 });
    if (order === "after") last().say(reset);
    assert.deepEqual([chat.getSnapshot().state, chat.getSnapshot().turns], ["loading", []]);
    last().say(...merged(events));
    await reading;
    assert.deepEqual(read, [...events.slice(0, 5), ...merged(events, 5)]);
    assert.deepEqual(chat.getSnapshot().state, "live");
    assert.deepEqual(last().received, []);
    last().drop();
  });
}

test("a turn that is not in the log after a reset fails", async () => {
  const { server, last, reconnect, turn } = await asked();
  server.say(...answer().slice(0, 5));
  reconnect();
  last().say({ type: "reset", conversation: "c_1", epoch: "f", reason: "another epoch" });
  last().ackSubscribe({ head: 0, epoch: "f", after: 0 });
  assert.equal((await settled(turn.done)).error.code, "unknown_turn");
  await assert.rejects(collect(turn), { code: "unknown_turn" });
});

test("a reset out of the blue subscribes again, to learn where the replay ends", () => {
  const { chat, server } = followed();
  server.say(...answer());
  server.say({ type: "reset", conversation: "c_1", epoch: "f", reason: "another log" });
  const { after, epoch } = server.received[0];
  assert.deepEqual([after, epoch], [0, "f"]);
  server.ackSubscribe({ head: 3, epoch: "f" });
  server.say(...answer().slice(0, 3));
  assert.equal(chat.getSnapshot().state, "live");
});

test("two turns at once each get their own events", async () => {
  const { chat, server, turn } = await asked();
  const sending = chat.send("two", { if_busy: "queue" });
  server.ackSend({ turn: "t_2", seq: 4 });
  const second = await sending;
  const one = answer().slice(0, 3);
  const other = answer({ turn: "t_2", first: 4 }).slice(0, 1);
  const rest = answer({ first: 2 }).slice(3);
  server.say(...one, ...other, ...rest, ...answer({ turn: "t_2", first: 8 }).slice(1));
  assert.deepEqual((await collect(turn)).map(({ type }) => type), ["message", "start", "step", "token", "done"]);
  assert.equal((await second.done).text, "one two three");
});

test("a failed turn rejects with the code of its error, and its events end after done", async () => {
  const { server, turn } = await asked();
  const [, , , ...rest] = answer({ done: { stop_reason: "failed" } });
  const error = { type: "error", conversation: "c_1", turn: "t_1", seq: 4, code: "overloaded", message: "m", retryable: true };
  server.say(...answer().slice(0, 3), error, { ...rest.at(-1), seq: 5 });
  const failure = (await settled(turn.done)).error;
  assert.deepEqual([failure.code, failure.retryable], ["overloaded", true]);
  assert.deepEqual((await collect(turn)).map(({ type }) => type), ["message", "start", "step", "error", "done"]);
});

test("cancel tells the outcome, by turn or by key, and a cancelled turn resolves", async () => {
  const { chat, server, turn } = await asked();
  const outcomes = [turn.cancel(), chat.cancel({ turn: "t_1" }), chat.cancel({ key: "k" })];
  const told = ["cancelling", "already_done", "queued_removed"];
  for (const outcome of told) {
    const { id, conversation, turn: of, key } = server.take("cancel");
    assert.deepEqual([conversation, of ?? key], ["c_1", outcome === "queued_removed" ? "k" : "t_1"]);
    server.say({ type: "ack", id, turn: "t_1", outcome });
  }
  assert.deepEqual(await Promise.all(outcomes), told);
  server.say(...merged(answer({ done: { stop_reason: "cancelled" } })));
  assert.equal((await turn.done).stopReason, "cancelled");
});

test("an unanswered cancel is repeated after a reconnect", async () => {
  const { last, reconnect, turn } = await asked();
  const cancelled = turn.cancel();
  reconnect();
  const { id } = last().take("cancel");
  last().say({ type: "ack", id, turn: "t_1", outcome: "cancelling" });
  assert.equal(await cancelled, "cancelling");
});

test("cancel by key waits for the conversation to have an id", async () => {
  const { wire, server } = scripted();
  server.welcome();
  const chat = wire.conversation();
  assert.equal((await settled(chat.cancel({ key: "k" }))).error.code, "unknown_conversation");
  chat.send("hi", { key: "k" });
  chat.cancel({ key: "k" });
  server.ackSend();
  await idle();
  const { conversation, key } = server.take("cancel");
  assert.deepEqual([conversation, key], ["c_1", "k"]);
});

test("regenerate and edit send in place of the turn, with its content or another", async () => {
  const { wire, chat, server } = await asked();
  server.say(...answer());
  const about = { type: "send", conversation: "c_1", retract: "t_1", runner: wire.runner };
  const command = (content) => ({ ...about, content });
  const regenerating = chat.regenerate("t_1");
  await idle();
  const { id, key, ...again } = server.received[0];
  assert.deepEqual(again, command("hi"));
  server.ackSend({ turn: "t_2", seq: 9 });
  assert.equal((await regenerating).id, "t_2");
  chat.edit("t_1", "ho");
  await idle();
  const { id: _, key: other, ...edited } = server.received[0];
  assert.deepEqual(edited, command("ho"));
  assert.notEqual(key, other);
});

test("regenerate of a turn that is not known sends nothing", async () => {
  const { chat, server } = await asked();
  assert.equal((await settled(chat.regenerate("t_9"))).error.code, "unknown_turn");
  assert.deepEqual(server.received, []);
});

test("an unknown conversation is closed, with the reason, and tried again by the next send", async () => {
  const { wire, server } = scripted();
  server.welcome();
  const chat = wire.conversation("c_x");
  chat.subscribe(() => {});
  const { id } = server.take("subscribe");
  server.say({ type: "reject", id, code: "unknown_conversation", message: "m", retryable: false });
  const { state, error } = chat.getSnapshot();
  assert.deepEqual([state, error], ["closed", { code: "unknown_conversation", message: "m" }]);
  chat.send("hi");
  assert.equal(chat.getSnapshot().state, "loading");
  assert.deepEqual(server.received.map(({ type }) => type), ["subscribe", "send"]);
});

test("a deleted conversation is closed and fails its turns", async () => {
  const { chat, server, turn } = await asked();
  server.say({ type: "closed", conversation: "c_1", code: "unknown_conversation", retryable: false });
  assert.equal(chat.getSnapshot().state, "closed");
  assert.equal((await settled(turn.done)).error.code, "unknown_conversation");
});

test("a subscription that ended for now is taken up again from the cursor", () => {
  const { chat, server, timers } = followed();
  server.say(...answer().slice(0, 2));
  server.say({ type: "closed", conversation: "c_1", code: "storage_unavailable", retryable: true });
  assert.deepEqual(server.received, []);
  timers.advance(0.5);
  assert.equal(server.received[0].after, 2);
  const { id } = server.take("subscribe");
  server.say({ type: "reject", id, code: "too_many", message: "m", retryable: true, retry_after_seconds: 4 });
  timers.advance(4);
  assert.deepEqual(server.received, []);
  timers.advance(1);
  server.ackSubscribe({ head: 7 });
  server.say(...answer().slice(2));
  assert.deepEqual(texts(chat), ["one two three"]);
  server.say({ type: "closed", conversation: "c_1", code: "storage_unavailable", retryable: true });
  timers.advance(0.5);
  assert.equal(server.received[0].after, 7);
});

test("unfollow unsubscribes, fails what runs, and following again goes on from the cursor", async () => {
  const { chat, server, turn } = await asked();
  const events = answer();
  server.say(...events.slice(0, 4));
  chat.unfollow();
  server.say(events[4]);
  assert.equal(server.take("unsubscribe").conversation, "c_1");
  assert.equal((await settled(turn.done)).error.code, "closed");
  chat.subscribe(() => {});
  assert.equal(server.received[0].after, 4);
  server.ackSubscribe({ head: 7 });
  server.say(...events.slice(4));
  assert.deepEqual(texts(chat), ["one two three"]);
});

test("a send that is acked after unfollow follows again, so that its turn ends", async () => {
  const { chat, server } = followed();
  const sent = chat.send("hi");
  chat.unfollow();
  server.ackSend();
  server.ackSubscribe({ head: 7 });
  server.say(...answer());
  assert.equal((await (await sent).done).text, "one two three");
});

test("an unfollowed conversation stays unfollowed over a reconnect", () => {
  const { chat, last, reconnect } = followed();
  chat.unfollow();
  reconnect();
  assert.deepEqual(last().received, []);
});

test("the end of the wire fails running turns and their readers", async () => {
  const { chat, server, turn } = await asked();
  server.say(...answer().slice(0, 4));
  const reading = settled(collect(turn));
  server.drop(4501);
  assert.equal((await reading).error.code, "unauthorized");
  assert.equal((await settled(turn.done)).error.code, "unauthorized");
  assert.deepEqual([chat.getSnapshot().state, texts(chat)], ["closed", ["one "]]);
});

test("events of an unknown type move the cursor, and are given to readers", async () => {
  const { chat, server, turn } = await asked();
  const unknown = { type: "sparkle", conversation: "c_1", turn: "t_1", seq: 2 };
  server.say(answer()[0], unknown, ...merged(answer({ first: 2 })).slice(1));
  assert.deepEqual(texts(chat), ["one two three"]);
  assert((await collect(turn)).some(({ type }) => type === "sparkle"));
});

test("events of a conversation nobody follows are ignored", () => {
  const { chat, server } = followed();
  server.say(...answer({ conversation: "c_2" }));
  assert.equal(chat.getSnapshot().seq, 0);
});
