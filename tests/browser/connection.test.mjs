// The wire: opening, losing and opening again; against a scripted server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../../client/turnwire_browser/static/turnwire/turnwire.js";
import { idle, scripted, settled } from "./scripted.mjs";

const state = (wire) => wire.getSnapshot().state;

test("it is connecting, and open once welcomed", () => {
  const { wire, server } = scripted();
  assert.deepEqual(server.protocols, ["turnwire.v1"]);
  server.open();
  assert.deepEqual(wire.getSnapshot(), { state: "connecting" });
  server.welcome();
  assert.equal(state(wire), "open");
  assert.deepEqual(wire.getSnapshot().welcome.models, ["m"]);
  assert.equal(wire.getSnapshot(), wire.getSnapshot());
});

for (const [url, expected] of [
  ["ws://host", "ws://host/v1/ws"],
  ["https://host/ai/", "wss://host/ai/v1/ws"],
  ["http://host/ai/v1/ws#c_1", "ws://host/ai/v1/ws"],
  [new URL("wss://host/v1/ws"), "wss://host/v1/ws"],
]) {
  test(`the socket of ${url} is ${expected}`, () => {
    const urls = [];
    const WebSocket = function (socketUrl) {
      urls.push(socketUrl);
    };
    const timers = { setTimeout() {}, clearTimeout() {}, now: () => 0 };
    connect(url, { WebSocket, timers }).subscribe(() => {});
    assert.deepEqual(urls, [expected]);
  });
}

test("a token is sent first, in the hello, on every connection", () => {
  const one = scripted({ token: "secret" });
  one.server.open();
  assert.deepEqual(one.server.received, [{ type: "hello", id: "hello", token: "secret" }]);
  one.reconnect();
  assert.equal(one.server.take("hello").token, "secret");
});

test("without a token nothing is sent before the welcome", () => {
  const { wire, server } = scripted();
  wire.conversation("c_1").subscribe(() => {});
  server.open();
  assert.deepEqual(server.received, []);
});

test("a rejected hello closes for good", () => {
  const { wire, server, sockets, timers } = scripted({ token: "wrong" });
  server.open();
  server.say({ type: "reject", id: "hello", code: "unauthorized", message: "no", retryable: false });
  timers.advance(60);
  assert.deepEqual(wire.getSnapshot(), { state: "closed", error: { code: "unauthorized", message: "no" } });
  assert.equal(sockets.length, 1);
});

for (const code of [1001, 1002, 1005, 1006, 1007, 1009, 1011, 1012, 4000, 4408, 4429, 4499]) {
  test(`close code ${code} reconnects`, () => {
    const { wire, server, sockets, timers } = scripted();
    server.welcome();
    server.drop(code);
    const { retryAt } = wire.getSnapshot();
    assert.deepEqual([state(wire), retryAt], ["reconnecting", timers.now() + 500]);
    timers.advance(0.5);
    assert.equal(sockets.length, 2);
    assert.equal(wire.getSnapshot().retryAt, undefined);
  });
}

for (const [code, error] of [
  [1000, "closed"],
  [4500, "protocol_violation"],
  [4501, "unauthorized"],
  [4999, "protocol_violation"],
]) {
  test(`close code ${code} ends with ${error}`, () => {
    const { wire, server, sockets, timers } = scripted();
    server.welcome();
    server.drop(code);
    timers.advance(60);
    assert.deepEqual([state(wire), wire.getSnapshot().error.code, sockets.length], ["closed", error, 1]);
  });
}

test("the delays grow, and begin again after ten stable seconds", () => {
  const one = scripted();
  const delay = () => (one.wire.getSnapshot().retryAt - one.timers.now()) / 1000;
  const delays = [];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    one.server.drop();
    delays.push(delay());
    one.timers.advance(delay());
  }
  one.server.welcome();
  one.timers.advance(9);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    one.server.drop();
    delays.push(delay());
    // Ten seconds after the welcome nothing is stable any more.
    one.timers.advance(delay());
  }
  one.server.welcome();
  one.timers.advance(10);
  one.server.drop();
  assert.deepEqual([...delays, delay()], [0.5, 1, 2, 4, 8, 15, 0.5]);
});

test("reconnect skips the wait, once", () => {
  const { wire, server, sockets, timers } = scripted();
  server.welcome();
  wire.reconnect();
  server.drop();
  wire.reconnect();
  wire.reconnect();
  timers.advance(5);
  assert.equal(sockets.length, 2);
});

test("an attempt that hangs is given up after ten seconds", () => {
  const { wire, server, timers } = scripted();
  server.open();
  timers.advance(10);
  assert(server.isClosed);
  assert.equal(state(wire), "reconnecting");
});

test("silence is answered by a ping, and a pong keeps the connection", () => {
  const { wire, server, timers } = scripted();
  server.welcome();
  timers.advance(20);
  const { id } = server.take("ping");
  timers.advance(9);
  server.say({ type: "pong", id });
  timers.advance(19);
  assert.deepEqual([state(wire), server.received], ["open", []]);
});

test("a connection that does not answer the ping is dead half a heartbeat later", () => {
  const { wire, server, timers } = scripted();
  server.welcome();
  timers.advance(29.9);
  assert.equal(state(wire), "open");
  timers.advance(0.1);
  assert(server.isClosed);
  assert.equal(state(wire), "reconnecting");
});

test("any message puts the ping off", () => {
  const { server, timers } = scripted();
  server.welcome();
  timers.advance(19);
  server.say({ type: "later-version" });
  timers.advance(19);
  assert.deepEqual(server.received, []);
});

test("a dropped socket is not heard any more", () => {
  const { wire, sockets, timers } = scripted();
  timers.advance(10);
  sockets[0].welcome();
  assert.equal(state(wire), "reconnecting");
  timers.advance(0.5);
  sockets[1].welcome();
  sockets[0].drop(4501);
  assert.equal(state(wire), "open");
});

for (const frame of ["no json", "3", "null"]) {
  test(`a frame that is ${frame} loses the connection`, () => {
    const { wire, server } = scripted();
    server.welcome();
    server.onmessage({ data: frame });
    assert.deepEqual([state(wire), server.isClosed], ["reconnecting", true]);
  });
}

test("an error before the opening is a lost connection, with or without a close event", () => {
  const { wire, server } = scripted();
  server.onerror();
  server.drop();
  assert.equal(state(wire), "reconnecting");
});

test("going away: open until 1012, then a wait at least as long as asked for", () => {
  const one = scripted();
  one.server.welcome();
  one.server.say({ type: "going_away", reconnect_after_seconds: 3 });
  assert.equal(state(one.wire), "open");
  one.server.drop(1012);
  assert.equal(one.wire.getSnapshot().retryAt, one.timers.now() + 3500);
  one.timers.advance(3.5);
  one.server.drop();
  assert.equal(one.wire.getSnapshot().retryAt, one.timers.now() + 1000, "it was asked for once");
});

test("going away: a send waits for the next connection, a cancel does not", async () => {
  const one = scripted();
  const chat = one.wire.conversation("c_1");
  one.server.welcome();
  one.server.say({ type: "going_away", reconnect_after_seconds: 0 });
  const sent = chat.send("hi");
  chat.cancel({ turn: "t_0" });
  assert.deepEqual(one.server.received.map(({ type }) => type), ["subscribe", "cancel"]);
  one.reconnect(1012);
  one.server.ackSend();
  assert.equal((await sent).id, "t_1");
});

test("close ends it, and everything that waits", async () => {
  const { wire, server, timers, sockets } = scripted();
  const sent = wire.conversation().send("hi");
  wire.close();
  timers.advance(60);
  assert.equal((await settled(sent)).error.code, "closed");
  assert.equal((await settled(wire.conversation("c_1").send("hi"))).error.code, "closed");
  assert.deepEqual([wire.getSnapshot(), server.isClosed, sockets.length], [{ state: "closed" }, true, 1]);
});

test("a conversation opened after the end is closed, not loading", () => {
  const { wire } = scripted();
  wire.close();
  const chat = wire.conversation("c_1");
  chat.subscribe(() => {});
  assert.equal(chat.getSnapshot().state, "closed");
});

test("listeners hear once per batch, until they leave, also when another one throws", async (context) => {
  const { wire, server } = scripted();
  const heard = [];
  const thrown = [];
  // The runner's own handlers would call the expected exception a failure of this test.
  const handlers = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error.message));
  context.after(() => {
    process.removeAllListeners("uncaughtException");
    for (const handler of handlers) process.on("uncaughtException", handler);
  });
  wire.subscribe(() => {
    throw new Error("broken listener");
  });
  const leave = wire.subscribe(() => heard.push(state(wire)));
  server.welcome();
  server.drop();
  await idle();
  leave();
  wire.close();
  await idle();
  assert.deepEqual(heard, ["reconnecting"]);
  assert.deepEqual(thrown, ["broken listener", "broken listener"]);
});
