// How often the page looks at what it shows of a turn, frame by frame.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./dom.mjs";

const { Passages } = await import("../../client/turnwire_browser/static/page/passages.js");
const { TurnView } = await import("../../client/turnwire_browser/static/page/turn.js");

/** How often `look` reads the text of `block`. */
function reads(block, look) {
  const before = block.reads;
  look();
  return block.reads - before;
}

test("a text that another block has followed is shown whole once, not at every frame", () => {
  const early = {
    block: 0,
    type: "text",
    complete: true,
    reads: 0,
    get text() {
      this.reads += 1;
      return "See [a] \n";
    },
  };
  const call = { block: 1, type: "thinking", complete: true, text: "Hm." };
  const late = (text) => ({ block: 2, type: "text", complete: false, text });
  const turn = (...blocks) => ({ turn: "t_1", state: "running", content: "Hello", blocks });
  const view = new TurnView({ earlier: () => [] });
  const frame = (...blocks) => {
    const now = turn(...blocks);
    // What the passages are made of is read at each frame in any case.
    return reads(early, () => view.update(now, true)) - reads(early, () => new Passages(now.blocks));
  };
  assert.equal(frame(early), 1);
  assert.equal(frame(early, call), 1);
  assert.deepEqual([frame(early, call, late("a")), frame(early, call, late("ab")), frame(early, call, late("abc"))], [0, 0, 0]);
  // What came behind it was taken back: it may go on.
  assert.equal(frame(early), 1);
});
