// What the browser tells of its network and its page, in a stand-in for its globals.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { scripted } from "./scripted.mjs";

let page;
const browser = { onLine: true };
Object.defineProperty(globalThis, "navigator", { value: browser, configurable: true });

beforeEach(() => {
  browser.onLine = true;
  page = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  globalThis.addEventListener = page.addEventListener.bind(page);
});

const state = ({ wire }) => wire.getSnapshot().state;
const tell = (name, target = page) => target.dispatchEvent(new Event(name));

for (const name of ["online", "pageshow"]) {
  test(`${name} ends the wait for the next attempt`, () => {
    const one = scripted();
    one.server.drop();
    tell(name);
    assert.equal(one.sockets.length, 2);
  });
}

test("a page that is seen again does not wait; one that is hidden does", () => {
  const one = scripted();
  one.server.drop();
  document.visibilityState = "hidden";
  tell("visibilitychange", document);
  assert.equal(one.sockets.length, 1);
  document.visibilityState = "visible";
  tell("visibilitychange", document);
  assert.equal(one.sockets.length, 2);
});

test("an open connection is tried by a ping, and lives if that is answered", () => {
  const one = scripted();
  one.server.welcome();
  browser.onLine = false;
  tell("offline");
  const { id } = one.server.take("ping");
  one.server.say({ type: "pong", id });
  one.timers.advance(15);
  assert.equal(state(one), "open");
});

test("a lost connection is offline without a network, is tried all the same, and at once when there is one", () => {
  const one = scripted();
  one.server.welcome();
  one.server.drop();
  assert.equal(state(one), "reconnecting");
  browser.onLine = false;
  tell("offline");
  assert.equal(state(one), "offline");
  one.timers.advance(0.5);
  assert.deepEqual([state(one), one.sockets.length], ["offline", 2]);
  one.server.drop();
  browser.onLine = true;
  tell("online");
  assert.deepEqual([state(one), one.sockets.length], ["reconnecting", 3]);
});

test("a closed wire leaves no listener behind", () => {
  const signals = [];
  globalThis.addEventListener = (name, listener, { signal }) => signals.push(signal);
  const one = scripted();
  assert.deepEqual(signals.map(({ aborted }) => aborted), [false, false, false]);
  one.wire.close();
  assert.deepEqual(signals.map(({ aborted }) => aborted), [true, true, true]);
});
