// A text that streams: it ends as the whole text is shown, and what is settled is not made again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { element, made } from "../dom.mjs";
import { cut, html, random, streamed } from "./view.mjs";

const { createStream } = await import("../../../client/turnwire_browser/static/markdown/markdown.js");

const DOCUMENT = `# Title *x*\r
\r
Text with **bold**, \`code\` and 😀 [a link](https://example.com/a "t"), [one][ref] and a note[^1].
Second line with $x_1$
2. a | b
-- | --
1 | 2
- not a row

- item
  - nested

    loose
- \`\`\`py
  def f():
  \tpass
  \`\`\`

Setext
------

> quote
lazy
> - in it

$$
a_1 * b
$$

  ~~~~ js x
  let a;
~~~
   b
 \t c

~~~~
***
<details><summary>More</summary>

- [x] done
- [ ] not

</details>

| a | b |
|:--|--:|
| 1 | 2<br>3 |
https://example.com/x.

[^1]: The note, with another[^2]

    and more of it.
[^2]: \`two\`

[ref]: /url
 "title"

\`\`\`
open fence
\`\`\` not the end
   `;

const PIECES = ["*a ", "b* ", "**a", "b**", "***", "_c", "d_ ", "~~e ", "~~", "`f ", "`` ", "` ", "[g ", "](", "](https://e.com/", " \"t", "\")", ")", "![",
  "<https://e.com/", "> ", "https://e.com/(", "mailto:", "&am", "p;", "&#6", "5;", "\\", "  \n", "\\\n", "\n", "\n", "\n\n", "- h\n", "  - i\n", "    j\n", "1. k\n",
  "\n- loose\n", "> l\n", "lazy\n", "===\n", "---\n", "--", "-", "| m | n |\n", "|-|-|\n", "|:-", "-:|", "| o", " | p |\n", "```\n", "~~~ q\n", "``", "# r #\n",
  "中文。", "字", "（", "😀", "\ud83d", "\ude00", "word ", "and more ", "\u00a0", "\t", "    ", "!", "http", "s://e", "é* ", "2) ", "\r\n", "\r", "   - ", "\0",
  "$", "$$", "$$\n", "x^2", "\\(", "\\)", "\\[\n", "\\]\n", "\\[", "\\]", "[^1]", "[^2]", "\n[^1]: note ", "\n[^2]: two\n", "[foo]", "[foo][bar]", "\n[foo]: /url\n", "\n[bar]: /u 't", "'\n",
  "\n[foo]:\n", "\n\n[bar]: </x>\n", "<br>", "<sub>", "</sub>", "<details>\n", "\n<details><summary>s</summary>\n", "</details>\n", "<summary>t</summary>\n", "- [ ] ", "- [x] t\n",
  "| a | b |\n|---|---|\n", "| 1 | 2 |\n", "\n| x [foo] |\n"];

test("streaming in any cuts equals rendering the whole", () => {
  const whole = html(DOCUMENT);
  for (let seed = 0; seed < 100; seed += 1) assert.equal(streamed(cut(DOCUMENT, random(seed), 12)), whole);
});

test("streaming nasty texts in any cuts equals rendering the whole", () => {
  const next = random(11);
  for (let i = 0; i < 2500; i += 1) {
    const text = Array.from({ length: 1 + Math.floor(next() * 30) }, () => PIECES[Math.floor(next() * PIECES.length)]).join("");
    assert.equal(streamed(cut(text, next, i % 2 ? 12 : 1)), html(text), JSON.stringify(text));
  }
});

test("streaming equals rendering the whole also where a paragraph is read in parts", () => {
  const next = random(13);
  const inline = ["*a ", "b* ", "**a", "b**", "`f ", "` ", "[g ", "](https://e.com/)", "$x", "y$ ", "[foo]", "中文。", "字", "😀", "\n", "  \n", "http", "s://e"];
  for (let i = 0; i < 60; i += 1) {
    const pieces = Array.from({ length: 12 }, () => {
      const filler = ["words ", "A sentence. ", "中文", "x"][Math.floor(next() * 4)].repeat(Math.floor(next() * next() * 1500));
      return filler + inline[Math.floor(next() * inline.length)] + inline[Math.floor(next() * inline.length)];
    });
    const text = `${pieces.join("")}\n\n[foo]: /url\n`;
    assert.equal(streamed(cut(text, next, 2000)), html(text));
  }
});

test("the title of a link's target may end many lines later", () => {
  for (const text of ["[b]: /u 't\n--\n| 1 |\n'\n\n[b]", "[a]: /u\n't\n==\nx'\n\n[a]", "[b]: /u 't\n--\n[c]: /v\n'\n\n[b]"]) {
    assert.equal(streamed(text), html(text));
    assert.match(html(text), /^<p><a [^>]*title=/);
  }
});

test("a long paragraph that is read in parts is what it is in one", () => {
  const sentences = "A **bold. Very bold.** word, `code. Or not`, [a link. To it](https://e.com/ \"t\") and *more. Of it*. Then $x_1 + 1$; that is all! ";
  const paragraph = sentences.repeat(200).trim();
  const once = html(sentences.trim()).slice("<p>".length, -"</p>".length);
  assert.equal(html(paragraph), `<p>${Array.from({ length: 200 }, () => once).join(" ")}</p>`);
});

/** @type {[string, string, number, number][]} what streams many times over, its elements, and those made anew in an update at most */
const LONG = [
  ["paragraph", "A **b** and `c`, then [d](https://e.com/). ", 3, 2], ["list", "- a **b** and `c`\n", 4, 2], ["loose list", "- a **b** and `c`\n\n", 4, 2],
  ["list with code", "- a\n\n  ```py\n  b\n  ```\n", 4, 3], ["nested list", "- a\n  1. b `c`\n  2. *d*\n", 9, 3], ["table", "| a | **b** |\n", 4, 6],
  ["text of many blocks", "## A\n\nB *c*.\n\n- d\n- e\n\n", 8, 3], ["notes", "A[^1] and [b].\n\n", 3, 3],
];

const COUNT = 400;

for (const [name, piece, elements, anew] of LONG) {
  test(`a long ${name} is made once, but for its end`, () => {
    const container = element();
    const stream = createStream(container);
    if (name === "table") stream.append("| a | b |\n|---|---|\n");
    const text = piece.repeat(COUNT);
    const before = made.elements;
    for (let at = 0; at < text.length; at += 7) stream.append(text.slice(at, at + 7));
    stream.end();
    const most = COUNT * elements + (text.length / 7) * anew;
    assert.ok(made.elements - before < most, `${made.elements - before} elements, at most ${most}`);
  });
}

test("finished blocks keep their nodes", () => {
  const container = element();
  const stream = createStream(container);
  stream.append("# one\n\ntwo\n\n```\nthree\n```\n\n- four\n\nfive\n\n");
  const nodes = [...container.children];
  assert.equal(nodes.length, 5);
  const before = container.inner();
  for (const piece of ["si", "x\n", "\n- sev", "en\n", "\n```\nei", "ght"]) stream.append(piece);
  stream.end();
  nodes.forEach((node, i) => assert.equal(container.children[i], node));
  assert.ok(container.inner().startsWith(before));
});

test("finished items of an open list, and what is finished in the last one, keep their nodes", () => {
  const container = element();
  const stream = createStream(container);
  stream.append("- ```\n  x\n  ```\n- b\n- c\n\n  d\n\n  e");
  const [list] = container.children;
  const [first, , third] = list.children;
  const [, paragraph] = third.children;
  stream.append(" f\n- g");
  assert.deepEqual([list.children[0] === first, list.children[2] === third, third.children[1] === paragraph], [true, true, true]);
});

test("an open fence grows in one text node and makes no elements", () => {
  const container = element();
  const stream = createStream(container);
  stream.append("```py\n");
  const text = container.children[0].children[0].children[0];
  const elements = made.elements;
  for (let i = 0; i < 10_000; i += 1) stream.append(i % 9 ? `t${i} ` : "\n");
  assert.equal(container.children[0].children[0].children[0], text);
  assert.equal(made.elements, elements);
  assert.ok(text.data.endsWith("t9998 \n"));
});

test("what may be a mark is not shown before it is one", () => {
  const container = element();
  const stream = createStream(container);
  for (const [piece, shown] of [
    ["```js\nlet a;\n``", '<pre><code class="language-js">let a;\n</code></pre>'], ["`\n\nText:\n", ""], ["-", "<p>Text:</p>"],
    [" one\n\n12", '<ul class="tight"><li><p>one</p></li></ul>'], [" is not", "<p>12 is not</p>"],
  ]) {
    stream.append(piece);
    assert.ok(container.inner().endsWith(shown), container.inner());
  }
});

test("a list that turns loose does so in the items that were built", () => {
  const container = element();
  const stream = createStream(container);
  for (const piece of ["- a\n- b\n", "- c\n"]) stream.append(piece);
  assert.match(container.inner(), /^<ul class="tight"><li><p>a/);
  const [item] = container.children[0].children;
  stream.append("\n- d");
  assert.equal(container.inner(), html("- a\n- b\n- c\n\n- d"));
  assert.equal(container.children[0].children[0], item);
  for (const piece of ["\n- e\n- f\n", "- g\n", "- h"]) stream.append(piece);
  assert.equal(container.inner(), html("- a\n- b\n- c\n\n- d\n- e\n- f\n- g\n- h"));
});

test("a definition that comes later makes links and notes of what is settled, and only of that", () => {
  const container = element();
  const stream = createStream(container);
  stream.append("Before.\n\nSee [it][a] and[^n].\n\n- one [a]\n- two\n- three\n\nAfter.\n\n");
  const [before, , list] = container.children;
  assert.doesNotMatch(container.inner(), /<a |<sup/);
  stream.append("[a]: /url\n[^n]: Note.\n\nEnd");
  assert.equal(container.children[0], before);
  assert.equal(container.children[2], list);
  assert.equal(container.inner().match(/href="\/url"/g)?.length, 2);
  assert.match(container.inner(), /<sup .*>1<\/a><\/sup>.*<section .*<li class="note" id="note-\d+-1"><p>Note\. <a /);
});

test("who dresses sees each block once, and once that it is complete", () => {
  /** @type {string[]} */ const seen = [];
  const container = element();
  const stream = createStream(container, {
    dress: (/** @type {any} */ target, kind) => void seen.push(`dress ${kind} ${target.children.length}`),
    complete: (/** @type {any} */ target, kind) => void seen.push(`complete ${kind} ${target.textContent}`),
  });
  for (const line of ["```\n", "a\n", "```\n", "text $x$ more\n", "\n", "|a|\n", "|-|\n", "|b|\n", "\n", "- [ ] c\n", "\n", "```\n", "b\n", "d"]) stream.append(line);
  assert.deepEqual(seen, ["dress code 1", "complete code a\n", "dress math 1", "complete math x", "dress table 1", "dress task 0", "dress code 1"]);
  stream.end();
  assert.deepEqual(seen.slice(7), ["complete code b\nd\n"]);
});

test("what was complete is made anew where something else comes to its place", () => {
  const container = element();
  const stream = createStream(container, { complete: (/** @type {any} */ target) => target.replaceChildren(`<${target.textContent}>`) });
  stream.append("w [b] v$x$ $y$\n\n");
  stream.append("[b]: /url\n\n");
  stream.end();
  assert.equal(container.textContent, "w b v<x> <y>");
});

test("what was complete, and perhaps filled otherwise, is not touched while the rest of its block grows", () => {
  const container = element();
  const stream = createStream(container, { complete: (/** @type {any} */ target) => target.replaceChildren("filled") });
  stream.append("- ```\n  a\n  ```\n  and $x$");
  for (const piece of [" more", " of\n", "  it\n", "- next"]) stream.append(piece);
  stream.end();
  assert.equal(container.inner(), '<ul class="tight"><li><pre>filled</pre><p>and <span class="math">filled</span> more of\nit</p></li><li><p>next</p></li></ul>');
});
