// A wire that nobody needs yet: no socket, on no platform and for no URL; and what is told where there can be none.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect, TurnwireError } from "../../client/turnwire_browser/static/turnwire/turnwire.js";
import { idle, scripted, settled } from "./scripted.mjs";

/** A wire that nobody needs yet; `urls` are those of the sockets that were opened. */
function unneeded(url = "ws://host", options = {}) {
  const urls = [];
  const WebSocket = function (socketUrl) {
    urls.push(socketUrl);
  };
  const timers = { setTimeout() {}, clearTimeout() {}, now: () => 0 };
  return { wire: connect(url, { WebSocket, timers, ...options }), urls };
}

test("what a page does while it is rendered opens no socket", async () => {
  const { wire, urls } = unneeded();
  wire.tool({ name: "t", description: "", input_schema: {} });
  for (const chat of [wire.conversation(), wire.conversation("c_1")]) chat.getSnapshot();
  wire.reconnect();
  await idle();
  assert.deepEqual(wire.getSnapshot(), { state: "connecting" });
  assert.deepEqual(urls, []);
});

for (const [what, need] of Object.entries({
  "a listener of the wire": (wire) => wire.subscribe(() => {}),
  "a listener of a conversation": (wire) => wire.conversation("c_1").subscribe(() => {}),
  "a send": (wire) => void wire.conversation().send("Hello"),
  "a cancel": (wire) => void wire.conversation("c_1").cancel({ turn: "t_1" }),
})) {
  test(`${what} opens one, and what follows none`, () => {
    const { wire, urls } = unneeded();
    need(wire);
    wire.subscribe(() => {});
    wire.conversation("c_2").subscribe(() => {});
    assert.deepEqual(urls, ["ws://host/v1/ws"]);
  });
}

test("a wire that was closed before opens none", () => {
  const { wire, urls } = unneeded();
  wire.close();
  wire.subscribe(() => {});
  assert.deepEqual([urls, wire.getSnapshot()], [[], { state: "closed" }]);
});

for (const [why, url, options] of [
  ["a relative URL where there is no page", "/", {}],
  ["another one", "ai/v1/ws", {}],
  ["no WebSocket", "ws://host", { WebSocket: undefined }],
  [
    "a WebSocket that the browser forbids",
    "ws://host",
    {
      WebSocket: function () {
        throw new DOMException("insecure", "SecurityError");
      },
    },
  ],
]) {
  test(`${why} is told to who needs the connection, and to nobody before`, async () => {
    const platform = globalThis.WebSocket;
    delete globalThis.WebSocket;
    try {
      const { wire, urls } = unneeded(url, options);
      const known = wire.conversation("c_1");
      known.subscribe(() => {});
      assert.deepEqual([known.getSnapshot().state, known.getSnapshot().error.code], ["closed", "unsupported"]);
      const { error } = await settled(wire.conversation().send("Hello"));
      assert(error instanceof TurnwireError);
      assert.equal(error.code, "unsupported");
      assert.equal((await settled(known.send("Hello"))).error.code, "unsupported");
      assert.deepEqual([wire.getSnapshot().state, wire.getSnapshot().error.code], ["closed", "unsupported"]);
      assert.deepEqual(urls, []);
    } finally {
      if (platform) globalThis.WebSocket = platform;
    }
  });
}

test("without a WebSocket the error names the option", async () => {
  const platform = globalThis.WebSocket;
  delete globalThis.WebSocket;
  try {
    const { error } = await settled(connect("ws://host").conversation().send("Hello"));
    assert.match(error.message, /connect\(url, \{ WebSocket \}\)/);
  } finally {
    if (platform) globalThis.WebSocket = platform;
  }
});

test("nothing can be uploaded to a relative URL where there is no page", async () => {
  const { error } = await settled(connect("/").upload(new Blob(["x"], { type: "image/png" })));
  assert.equal(error.code, "unsupported");
});

for (const url of ["ftp://host", "localhost:8000", "ws://"]) {
  test(`${url} is a TypeError at once`, () => assert.throws(() => connect(url), TypeError));
}

test("a page's address is what a relative URL is relative to, a worker's too", () => {
  for (const [name, value] of [
    ["document", { baseURI: "https://host/ai/page" }],
    ["location", { href: "https://host/ai/worker.js" }],
  ]) {
    globalThis[name] = { ...value, addEventListener() {} };
    globalThis.addEventListener = () => {};
    try {
      const { wire, urls } = unneeded("./");
      wire.subscribe(() => {});
      assert.deepEqual(urls, ["wss://host/ai/v1/ws"]);
    } finally {
      delete globalThis[name];
      delete globalThis.addEventListener;
    }
  }
});

test("a snapshot is the same until something changes, and the server's for ever; all is bound, for React", () => {
  const { wire, server } = scripted();
  const { subscribe, getSnapshot, getServerSnapshot } = wire.conversation("c_1");
  const first = getServerSnapshot();
  assert.deepEqual(first, { id: "c_1", seq: 0, turns: [], state: "loading" });
  assert.equal(getSnapshot(), first);
  subscribe(() => {});
  server.welcome();
  server.ackSubscribe();
  assert.notEqual(getSnapshot(), first);
  assert.equal(getSnapshot(), getSnapshot());
  assert.equal(getServerSnapshot(), first);
  const { getSnapshot: connection, getServerSnapshot: unconnected } = wire;
  assert.deepEqual([connection().state, unconnected()], ["open", { state: "connecting" }]);
  assert.equal(unconnected(), scripted().wire.getServerSnapshot());
});
