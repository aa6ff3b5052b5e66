// The merged events of a turn, and readers of different speed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TurnLog } from "../../client/turnwire_browser/static/turnwire/turnlog.js";
import { answer, merged } from "./scripted.mjs";

const start = () => ({ index: 0, offset: 0, span: 0 });

function drain(log, position = start()) {
  const events = [];
  for (let event = log.next(position); event; event = log.next(position)) events.push(event);
  return events;
}

test("a reader that keeps up gets each event as it came", () => {
  const log = new TurnLog();
  const position = start();
  const events = answer();
  const read = events.flatMap((event) => {
    log.append(event);
    return drain(log, position);
  });
  assert.deepEqual(read, events);
});

test("a reader that comes late gets the same, merged", () => {
  const log = new TurnLog();
  const events = answer();
  for (const event of events) log.append(event);
  assert.deepEqual(drain(log), merged(events));
  assert.deepEqual(log.events, merged(events));
});

for (let cut = 0; cut <= 7; cut += 1) {
  test(`a reader that pauses after event ${cut} gets exactly the rest`, () => {
    const log = new TurnLog();
    const position = start();
    const events = answer();
    const read = [];
    events.forEach((event, index) => {
      log.append(event);
      if (index < cut) read.push(...drain(log, position));
    });
    assert.deepEqual([...read, ...drain(log, position)], [...events.slice(0, cut), ...merged(events, cut)]);
  });

  test(`a replay from 0, cut otherwise, repeats nothing to a reader at event ${cut}`, () => {
    const log = new TurnLog();
    const position = start();
    const events = answer();
    events.slice(0, cut).forEach((event) => {
      log.append(event);
      drain(log, position);
    });
    log.clear();
    for (const event of merged(events)) log.append(event);
    assert.deepEqual(drain(log, position), merged(events, cut));
  });
}

test("deltas of another block or type begin a new entry", () => {
  const token = (seq, block, text) => ({ type: "token", conversation: "c", turn: "t", seq, block, text });
  const events = [token(1, 0, "a"), token(2, 1, "b"), { ...token(3, 1, "c"), type: "thinking" }];
  const log = new TurnLog();
  for (const event of events) log.append(event);
  assert.deepEqual(drain(log), events);
});

test("deltas with an event of another turn between stay two, after a replay too", () => {
  const token = (seq, text, more) => ({ type: "token", conversation: "c", turn: "t", seq, block: 0, text, ...more });
  const log = new TurnLog();
  const position = start();
  log.append(token(1, "a"));
  log.append(token(3, "b"));
  assert.deepEqual(drain(log, position), [token(1, "a"), token(3, "b")]);
  log.clear();
  log.append(token(1, "a"));
  log.append(token(4, "bc", { span: 2 }));
  assert.deepEqual(drain(log, position), [token(4, "c")]);
});

test("a long text is whole, however it is read", () => {
  const log = new TurnLog();
  const position = start();
  let text = "";
  let read = "";
  for (let seq = 1; seq <= 5000; seq += 1) {
    const piece = `${seq} `;
    text += piece;
    log.append({ type: "token", conversation: "c", turn: "t", seq, block: 0, text: piece });
    if (seq % 7 === 0) read += log.next(position).text;
  }
  read += log.next(position).text;
  assert.equal(read, text);
  assert.deepEqual(log.events.map((event) => [event.seq, event.span, event.text]), [[5000, 5000, text]]);
});
