// The fold shares what did not change; what it makes is in tests/protocol/vectors.test.mjs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FoldedConversation } from "../../client/turnwire_browser/static/turnwire/fold.js";
import { answer } from "./scripted.mjs";

const token = (seq, turn, block, text) => ({ type: "token", conversation: "c_1", seq, turn, block, text });

test("an untouched turn keeps its identity", () => {
  const fold = new FoldedConversation();
  answer().forEach((event) => fold.apply(event));
  const [first] = fold.turns;
  answer({ turn: "t_2", first: 8 }).forEach((event) => fold.apply(event));
  assert.equal(fold.turns[0], first);
  assert.equal(fold.turns.length, 2);
});

test("an untouched block keeps its identity, and what was handed out never changes", () => {
  const fold = new FoldedConversation();
  fold.apply(token(1, "t_1", 0, "a"));
  fold.apply(token(2, "t_1", 1, "b"));
  const turns = fold.turns;
  const before = structuredClone(turns);
  fold.apply(token(3, "t_1", 1, "c"));
  assert.equal(fold.turns[0].blocks[0], turns[0].blocks[0]);
  assert.notEqual(fold.turns[0].blocks[1], turns[0].blocks[1]);
  assert.deepEqual(turns, before);
});

test("an event that changes nothing keeps the array", () => {
  const fold = new FoldedConversation();
  answer().forEach((event) => fold.apply(event));
  const { turns } = fold;
  fold.apply({ type: "sparkle", conversation: "c_1", seq: 8, turn: "t_1" });
  assert.equal(fold.turns, turns);
  assert.equal(fold.seq, 8);
});

test("the array is the same until something changes", () => {
  const fold = new FoldedConversation();
  fold.apply(token(1, "t_1", 0, "a"));
  assert.equal(fold.turns, fold.turns);
});

test("a token touches neither the other turns nor the text of the other blocks", () => {
  const fold = new FoldedConversation();
  for (let turn = 0; turn < 50; turn += 1) {
    answer({ turn: `t_${turn}`, first: turn * 7 + 1 }).forEach((event) => fold.apply(event));
  }
  const turns = fold.turns;
  fold.apply(token(351, "t_49", 1, "more"));
  assert.deepEqual(
    fold.turns.filter((turn, index) => turn !== turns[index]).map(({ turn }) => turn),
    ["t_49"],
  );
  assert.equal(fold.turns[49].blocks[0], turns[49].blocks[0]);
});
