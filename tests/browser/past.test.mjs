// Long conversations over the wire: opened with their last turns, older ones brought page by page.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { dialogueOf } from "../../client/turnwire_browser/static/turnwire/dialogue.js";
import { answer, idle, scripted, settled } from "./scripted.mjs";

const platform = globalThis.fetch;
/** What was asked over HTTP, and not answered yet. */
let asked = [];

beforeEach(() => {
  asked = [];
  globalThis.fetch = (url, { headers }) => new Promise((resolve, reject) => asked.push({ url, headers, resolve, reject }));
});
afterEach(() => {
  globalThis.fetch = platform;
});

/** The turn of number `n`, of seven events up to seq 7 n, as a page tells it. */
const old = (n) => ({ turn: `t_${n}`, state: "done", blocks: [], content: `${n}` });
const events = (n) => answer({ turn: `t_${n}`, first: 7 * n - 6 });
const retract = (seq, from_turn, turn) => ({ type: "retract", conversation: "c_1", seq, turn, at: "T", from_turn });

function tell(page, seq, next, replaced) {
  const { resolve } = asked.shift();
  resolve(Response.json({ conversation: "c_1", title: "", epoch: "e", seq, turns: page.map(old), ...(next && { next }), ...(replaced && { replaced }) }));
  return idle();
}

/** Followed with its last two turns of five; it is live. */
function opened(options = {}) {
  const one = scripted({ lastTurns: 2, ...options });
  one.server.welcome();
  const chat = one.wire.conversation("c_1");
  chat.subscribe(() => {});
  one.server.ackSubscribe({ after: 21, head: 35 });
  one.server.say(...events(4), ...events(5));
  return { ...one, chat, server: one.server, reconnect: one.reconnect, last: () => one.server };
}

const turns = (chat) => chat.getSnapshot().turns.map(({ turn }) => turn);

test("it asks for the last turns, and is live with them", () => {
  const { wire, server } = scripted({ lastTurns: 2 });
  server.welcome();
  const chat = wire.conversation("c_1");
  chat.subscribe(() => {});
  assert.deepEqual([server.received[0].after, server.received[0].last], [0, 2]);
  server.ackSubscribe({ after: 21, head: 35 });
  assert.equal(chat.getSnapshot().hasOlder, true);
  server.say(...events(4));
  assert.deepEqual([chat.getSnapshot().state, chat.getSnapshot().seq], ["loading", 28]);
  server.say(...events(5));
  assert.deepEqual([chat.getSnapshot().state, turns(chat)], ["live", ["t_4", "t_5"]]);
});

test("one that has no more turns has none before them", () => {
  const { wire, server } = scripted({ lastTurns: 2 });
  server.welcome();
  const chat = wire.conversation("c_1");
  chat.subscribe(() => {});
  server.ackSubscribe({ after: 0, head: 7 });
  server.say(...events(1));
  assert.deepEqual([chat.getSnapshot().state, chat.getSnapshot().hasOlder], ["live", undefined]);
});

test("without the option it begins at the beginning", () => {
  const { wire, server } = scripted();
  server.welcome();
  wire.conversation("c_1").subscribe(() => {});
  assert.equal("last" in server.received[0], false);
});

test("older turns come page by page before those that are there, which keep their identity", async () => {
  const { chat } = opened({ token: "secret" });
  const [held] = chat.getSnapshot().turns;
  const loading = chat.loadOlder();
  assert.equal(chat.loadOlder(), loading);
  await idle();
  const [{ url, headers }] = asked;
  assert.equal(url, "http://host/v1/conversations/c_1?last=2&before=t_4&replaced=true");
  assert.equal(headers.Authorization, "Bearer secret");
  await tell([2, 3], 35, "t_2");
  await loading;
  assert.deepEqual([turns(chat), chat.getSnapshot().hasOlder], [["t_2", "t_3", "t_4", "t_5"], true]);
  assert.equal(chat.getSnapshot().turns[2], held);
  const rest = chat.loadOlder(9);
  await idle();
  assert.match(asked[0].url, /last=9&before=t_2&/);
  await tell([1], 35);
  await rest;
  assert.deepEqual([turns(chat).length, chat.getSnapshot().hasOlder], [5, undefined]);
  await chat.loadOlder();
  assert.deepEqual(asked, []);
});

test("with older turns come those in whose place they were sent", async () => {
  const { chat } = opened();
  const loading = chat.loadOlder();
  await idle();
  await tell([3], 35, undefined, { t_3: [old(1), old(2)] });
  await loading;
  assert.deepEqual([chat.replacedBy("t_3"), chat.replacedBy("t_2")], [[old(1), old(2)], [old(1)]]);
  assert.deepEqual(chat.replacedBy("t_4"), []);
});

test("a page that cannot be had is an error, what is there stays, and it can be tried again", async () => {
  const { chat } = opened();
  const failing = chat.loadOlder();
  await idle();
  asked.shift().reject(new TypeError("failed"));
  const { error } = await settled(failing);
  assert.deepEqual([error.code, error.retryable, turns(chat)], ["network_error", true, ["t_4", "t_5"]]);
  const again = chat.loadOlder();
  await idle();
  await tell([2, 3], 35, "t_2");
  await again;
  assert.equal(turns(chat).length, 4);
});

test("a page that knows more than has come here waits for that", async () => {
  const { chat, server } = opened();
  const loading = chat.loadOlder();
  await idle();
  // Its server had seen the fourth turn asked again, and with it the fifth void.
  await tell([2, 3], 37, "t_2");
  assert.deepEqual(turns(chat), ["t_4", "t_5"]);
  server.say(retract(36, "t_3", "t_6"));
  // The third is not here: older than all that is.
  assert.deepEqual(turns(chat), []);
  await idle();
  server.say({ ...events(6)[0], seq: 37 });
  await loading;
  assert.deepEqual(turns(chat), ["t_2", "t_3", "t_6"]);
});

test("a page from before a retract that came here meanwhile is asked for again", async () => {
  const { chat, server } = opened();
  const loading = chat.loadOlder();
  await idle();
  server.say(retract(36, "t_2", "t_6"), { ...events(6)[0], seq: 37 });
  await tell([2, 3], 35, "t_2");
  assert.deepEqual(turns(chat), ["t_6"]);
  assert.match(asked[0].url, /before=t_6&/);
  await tell([1], 37);
  await loading;
  assert.deepEqual([turns(chat), chat.getSnapshot().hasOlder], [["t_1", "t_6"], undefined]);
});

test("an older turn that was brought can be asked again", async () => {
  const { chat, server } = opened();
  const loading = chat.loadOlder();
  await idle();
  await tell([2, 3], 35, "t_2");
  await loading;
  chat.regenerate("t_3");
  const { content, retract: from } = server.take("send");
  assert.deepEqual([content, from], ["3", "t_3"]);
  server.say(retract(36, "t_3", "t_6"), { ...events(6)[0], seq: 37 });
  assert.deepEqual(turns(chat), ["t_2", "t_6"]);
});

test("a lost connection goes on from the cursor, and keeps what was brought", async () => {
  const { chat, last, reconnect } = opened();
  const loading = chat.loadOlder();
  await idle();
  await tell([2, 3], 35, "t_2");
  await loading;
  reconnect();
  assert.equal(last().received[0].after, 35);
  last().ackSubscribe({ after: 35, head: 42 });
  last().say(...events(6));
  assert.deepEqual(turns(chat), ["t_2", "t_3", "t_4", "t_5", "t_6"]);
});

test("a page of a log that is gone meanwhile is dropped", async () => {
  const { chat, server } = opened();
  const loading = chat.loadOlder();
  await idle();
  server.say({ type: "reset", conversation: "c_1", epoch: "e2", reason: "r" });
  server.ackSubscribe({ epoch: "e2", after: 0, head: 7 });
  await tell([2, 3], 5, "t_2");
  server.say(...events(1));
  await loading;
  assert.deepEqual([turns(chat), chat.getSnapshot().hasOlder], [["t_1"], undefined]);
});

test("a repeated send of a turn that is older reads all of it, and gives its answer", async () => {
  const { chat, server } = opened();
  const sending = chat.send("hi", { key: "k" });
  server.ackSend({ turn: "t_2", seq: 8, after: 7 });
  const turn = await sending;
  const { after, last } = server.received[0];
  assert.deepEqual([after, last], [0, undefined]);
  server.ackSubscribe({ head: 35 });
  server.say(...[1, 2, 3, 4, 5].flatMap(events));
  assert.equal((await turn.done).text, "one two three");
  assert.deepEqual([turns(chat).length, chat.getSnapshot().hasOlder], [5, undefined]);
});

test("the same where the ack of the send comes first", async () => {
  const { wire, server } = scripted({ lastTurns: 2 });
  server.welcome();
  const chat = wire.conversation("c_1");
  const sending = chat.send("hi", { key: "k" });
  server.ackSend({ turn: "t_2", seq: 8, after: 7 });
  const turn = await sending;
  server.ackSubscribe({ after: 21, head: 35 });
  assert.equal(server.received[0].last, undefined);
  server.ackSubscribe({ head: 35 });
  server.say(...[1, 2, 3, 4, 5].flatMap(events));
  assert.equal((await turn.done).text, "one two three");
});

test("a server that does not know the option gives all", () => {
  const { wire, server } = scripted({ lastTurns: 2 });
  server.welcome();
  const chat = wire.conversation("c_1");
  chat.subscribe(() => {});
  const { id } = server.take("subscribe");
  server.say({ type: "reject", id, code: "bad_command", message: "last: unknown", retryable: false });
  assert.equal("last" in server.received[0], false);
  server.ackSubscribe({ head: 7 });
  server.say(...events(1));
  assert.deepEqual([chat.getSnapshot().state, turns(chat)], ["live", ["t_1"]]);
});

test("a dialogue tells of older turns, brings them, and a refusal is its error", async () => {
  const { wire, chat } = opened();
  const dialogue = dialogueOf(wire, chat);
  const leave = dialogue.subscribe(() => {});
  assert.equal(dialogue.getSnapshot().hasOlder, true);
  const failing = dialogue.loadOlder();
  await idle();
  asked.shift().resolve(Response.json({ error: { code: "storage_unavailable", message: "m", retryable: true } }, { status: 503 }));
  await failing;
  assert.equal(dialogue.getSnapshot().error.code, "storage_unavailable");
  const loading = dialogue.loadOlder(3);
  await idle();
  await tell([1, 2, 3], 35);
  await loading;
  assert.deepEqual([dialogue.getSnapshot().hasOlder, dialogue.getSnapshot().turns.length], [undefined, 5]);
  leave();
});
