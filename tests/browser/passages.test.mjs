// An answer's texts as they are read: neighbours as one, marks where they cite, sources as notes when copied.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Passages } from "../../client/turnwire_browser/static/page/passages.js";

const text = (block, text, citations, complete = true) => ({ block, type: "text", complete, text, ...(citations ? { citations } : {}) });
const A = { title: "A [draft]\nof *it*", url: "https://a.example/x_(y)" };
const B = { title: "report.pdf", document: 0 };

test("neighbouring texts are one, with marks where they cite", () => {
  const tool = { block: 3, type: "tool", complete: true };
  const blocks = [text(0, "He was "), text(1, "born in 1916 ", [A, B]), text(2, "in Petoskey.", [A], false), tool, text(4, "So.")];
  const { blocks: shown, sources } = new Passages(blocks);
  const joined = "He was born in 1916[^source-1][^source-2] in Petoskey.[^source-1]";
  assert.deepEqual(shown, [text(0, joined, undefined, false), tool, text(4, "So.")]);
  assert.equal(shown[2], blocks[4]);
  assert.deepEqual(sources.map(({ number }) => number), [1, 2]);
});

test("what is copied is Markdown with the sources as notes", () => {
  const { markdown } = new Passages([text(0, "One "), text(1, "two.\n", [A]), { type: "thinking" }, text(3, "Three.", [B])]);
  const notes = "[^source-1]: [A \\[draft\\] of \\*it\\*](<https://a.example/x_(y)>)\n[^source-2]: report.pdf";
  assert.equal(markdown, `One two.[^source-1]\n\n\nThree.[^source-2]\n\n${notes}`);
});

test("an answer that cites nothing is copied as it is", () => {
  assert.equal(new Passages([text(0, " One\n"), { type: "tool" }, text(2, ""), text(3, "Two")]).markdown, " One\n\n\nTwo");
});
