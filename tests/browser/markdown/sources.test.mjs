// Marks of sources: shown by who has the sources, notes for everybody else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { element } from "../dom.mjs";
import { cut, html, random } from "./view.mjs";

const { createStream } = await import("../../../client/turnwire_browser/static/markdown/markdown.js");

/** @param {Iterable<string>} pieces */
function shown(pieces) {
  const container = element();
  const stream = createStream(container, { hasSources: true });
  for (const piece of pieces) stream.append(piece);
  stream.end();
  return container.inner();
}

const mark = (number) => `<sup class="source-ref" data-source="${number}">${number}</sup>`;
const TEXT = "So it **was[^source-1][^source-12]** (x).\n\n| a[^source-2] |\n|-|\n| b[^source-3](https://e.com) |\n\n- c[^source-4]";

test("a mark is one wherever text is", () => {
  const found = [...shown([TEXT]).matchAll(/data-source="(\d+)"/g)].map(([, number]) => number);
  assert.deepEqual(found, ["1", "12", "2", "3", "4"]);
  assert(shown([TEXT]).startsWith(`<p>So it <strong>was${mark(1)}${mark(12)}</strong> (x).</p>`));
});

test("what follows a mark in parentheses is no link of it", () => {
  assert.equal(shown(["a[^source-1](not a link)"]), `<p>a${mark(1)}(not a link)</p>`);
});

test("code shows it as it stands", () => {
  assert.equal(shown(["`a[^source-1]`"]), "<p><code>a[^source-1]</code></p>");
});

test("streamed it is the same", () => {
  const next = random(7);
  for (let i = 0; i < 50; i += 1) assert.equal(shown(cut(TEXT, next, 9)), shown([TEXT]));
});

test("without sources it is a note", () => {
  const page = html("a[^source-1]\n\n[^source-1]: [A](https://a.example)");
  assert(page.includes('data-note="source-1"') && page.includes('href="https://a.example"'));
  assert(!page.includes("source-ref"));
});
