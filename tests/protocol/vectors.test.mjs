// The conformance vectors that a browser client implements: fold, merge, cursor and closing (protocol/vectors).

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { Cursor, Verdict } from "../../client/turnwire_browser/static/turnwire/cursor.js";
import { blameOf, mayReconnect } from "../../client/turnwire_browser/static/turnwire/errors.js";
import { FoldedConversation } from "../../client/turnwire_browser/static/turnwire/fold.js";
import { Sources, noted } from "../../client/turnwire_browser/static/turnwire/sources.js";
import { TurnLog } from "../../client/turnwire_browser/static/turnwire/turnlog.js";

const folder = new URL("../../protocol/vectors/", import.meta.url);

const runners = {
  fold({ events, expected }) {
    assert.deepEqual(folded(events), expected);
  },
  sources({ blocks, sources: expected, texts }) {
    const sources = new Sources();
    assert.deepEqual(blocks.map(({ text, citations }) => noted(text, sources.numbers(citations))), texts);
    assert.deepEqual(sources.list, expected);
  },
  merge({ events, merged }) {
    assert.deepEqual(read(events), merged);
    assert.deepEqual(folded(read(events)), folded(events));
  },
  cursor({ start, events, verdicts, end, expected }) {
    const cursor = new Cursor();
    Object.assign(cursor, start);
    const applied = [];
    const judged = events.map((event) => {
      const verdict = cursor.judge(event);
      if (verdict === Verdict.APPLY) {
        cursor.advance(event);
        applied.push(event);
      }
      return verdict;
    });
    assert.deepEqual(judged, verdicts);
    assert.equal(cursor.seq, end);
    if (expected) assert.deepEqual(folded(applied), expected);
  },
  close({ code, reconnect, fails_unacknowledged: fails }) {
    assert.equal(mayReconnect(code), reconnect);
    assert.equal(!mayReconnect(code) || blameOf(code) !== undefined, fails);
  },
};

/** What a reader of the turns' logs gets who comes when all is there; in the order of the conversation's log. */
function read(events) {
  const logs = new Map();
  for (const event of events) {
    const log = logs.get(event.turn) ?? new TurnLog();
    log.append(event);
    logs.set(event.turn, log);
  }
  return [...logs.values()].flatMap((log) => log.events).sort((one, other) => one.seq - other.seq);
}

function folded(events) {
  const fold = new FoldedConversation();
  for (const event of events) fold.apply(event);
  return { seq: fold.seq, turns: fold.turns };
}

const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
const cases = files.flatMap((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")).cases);

for (const kind of Object.keys(runners)) {
  test(`vectors of kind ${kind} are here`, () => assert(cases.some((one) => one.kind === kind)));
}
for (const one of cases.filter(({ kind }) => kind in runners)) {
  test(`${one.kind}: ${one.name}`, () => runners[one.kind](one));
}
