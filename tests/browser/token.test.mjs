// A token that has to be fetched: before each attempt to connect, and for what goes over HTTP.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TurnwireError, connect } from "../../client/turnwire_browser/static/turnwire/turnwire.js";
import { idle, scripted } from "./scripted.mjs";

test("it is fetched anew for each connection, and sent in its hello", async () => {
  let count = 0;
  const one = scripted({ token: async () => `token ${++count}` });
  for (const token of ["token 1", "token 2"]) {
    await idle();
    one.server.open();
    assert.equal(one.server.take("hello").token, token);
    one.server.drop();
    one.timers.advance(0.5);
  }
});

test("no socket is opened before it is there, nor for one that comes too late", async () => {
  const waiting = [];
  const one = scripted({ token: () => new Promise((resolve) => waiting.push(resolve)) });
  await idle();
  assert.equal(one.sockets.length, 0);
  // The attempt is given up, and another one begins.
  one.timers.advance(10.5);
  assert.equal(waiting.length, 2);
  waiting[0]("late");
  await idle();
  assert.equal(one.sockets.length, 0);
  waiting[1]("in time");
  await idle();
  one.server.open();
  assert.deepEqual([one.sockets.length, one.server.take("hello").token], [1, "in time"]);
});

test("one that comes after the wire was closed opens nothing", async () => {
  let give;
  const one = scripted({ token: () => new Promise((resolve) => (give = resolve)) });
  one.wire.close();
  give("late");
  await idle();
  assert.equal(one.sockets.length, 0);
});

test("what fails is tried again, a TurnwireError ends it", async () => {
  const errors = [new Error("offline"), new TurnwireError("unauthorized", "signed out")];
  const one = scripted({
    token: () => {
      throw errors.shift();
    },
  });
  await idle();
  assert.equal(one.wire.getSnapshot().state, "reconnecting");
  one.timers.advance(15);
  await idle();
  assert.deepEqual(one.wire.getSnapshot(), { state: "closed", error: { code: "unauthorized", message: "signed out" } });
  assert.equal(one.sockets.length, 0);
});

test("what goes over HTTP has it too", async () => {
  const platform = globalThis.fetch;
  const sent = [];
  globalThis.fetch = async (_, { headers }) => {
    sent.push(headers);
    return new Response("{}");
  };
  try {
    await connect("ws://host", { token: async () => "fetched" }).download({ blob: "b_1" });
    await connect("ws://host", { token: "given" }).download({ blob: "b_1" });
    await connect("ws://host").download({ blob: "b_1" });
  } finally {
    globalThis.fetch = platform;
  }
  assert.deepEqual(sent, [{ Authorization: "Bearer fetched" }, { Authorization: "Bearer given" }, {}]);
});
