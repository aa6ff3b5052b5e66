// Streaming, safety and bounds of markdown.js, on the fake DOM; run by test_markdown.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import { element, made } from "./dom.mjs";

const { createStream, render } = await import("../../client/turnwire_browser/static/markdown/markdown.js");

/** @param {string} text */
function html(text) {
  const container = element();
  render(text, container);
  return container.inner();
}

/** @param {number} seed @returns {() => number} in [0, 1), the same sequence every run (mulberry32) */
const random = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
};

const DOCUMENT = `# Title *x*\r
\r
Text with **bold**, \`code\` and 😀 [a link](https://example.com/a "t").
Second line
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

> quote
lazy
> - in it

  ~~~~ js x
  let a;
~~~
   b
 \t c

~~~~
***
| a | b |
|:--|--:|
| 1 | 2 |
https://example.com/x.

\`\`\`
open fence
\`\`\` not the end
   `;

const PIECES = ["a", "b c", " ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "- ", "2. ", "1) ", "> ", "# ", "```", "~~~", "|",
  "-|-", "---", "*", "**", "_", "~~", "`", "[", "](", ")", "![", "https://e.com/a", "<", "&amp;", "\\", "[x](https://e.com/)"];

/** @param {string} text @param {() => number} next @param {number} [largest] piece */
function assertSameInPieces(text, next, largest = 12) {
  const container = element();
  const stream = createStream(container);
  for (let at = 0; at < text.length; ) {
    const size = 1 + Math.floor(next() * next() * largest);
    stream.append(text.slice(at, at + size));
    at += size;
  }
  stream.end();
  assert.equal(container.inner(), html(text), JSON.stringify(text));
}

test("streaming in any cuts equals rendering the whole", () => {
  for (let seed = 0; seed < 200; seed += 1) assertSameInPieces(DOCUMENT, random(seed));
});

test("streaming generated texts in any cuts equals rendering the whole", () => {
  const next = random(7);
  for (let i = 0; i < 3000; i += 1) {
    const pieces = Array.from({ length: 1 + Math.floor(next() * 25) }, () => PIECES[Math.floor(next() * PIECES.length)]);
    assertSameInPieces(pieces.join(""), next);
  }
});

const NASTY = ["*a ", "b* ", "**a", "b**", "***", "_c", "d_ ", "~~e ", "~~", "`f ", "`` ", "` ", "[g ", "](", "](https://e.com/", " \"t", "\")", ")", "![",
  "<https://e.com/", "> ", "https://e.com/(", "mailto:", "&am", "p;", "&#6", "5;", "\\", "  \n", "\\\n", "\n", "\n", "\n\n", "- h\n", "  - i\n", "    j\n", "1. k\n",
  "\n- loose\n", "> l\n", "lazy\n", "===\n", "---\n", "--", "-", "| m | n |\n", "|-|-|\n", "|:-", "-:|", "| o", " | p |\n", "```\n", "~~~ q\n", "``", "# r #\n",
  "中文。", "字", "（", "😀", "\ud83d", "\ude00", "word ", "and more ", "\u00a0", "\t", "    ", "!", "http", "s://e", "é* "];

test("streaming nasty texts in any cuts equals rendering the whole", () => {
  const next = random(11);
  for (let i = 0; i < 6000; i += 1) {
    const pieces = Array.from({ length: 1 + Math.floor(next() * 30) }, () => NASTY[Math.floor(next() * NASTY.length)]);
    assertSameInPieces(pieces.join(""), next);
  }
});

test("streaming equals rendering the whole also where something ends too far from its beginning", () => {
  const next = random(13);
  const inline = NASTY.slice(0, 27).concat("中文。", "字", "http", "s://e", "😀");
  for (let i = 0; i < 150; i += 1) {
    const pieces = Array.from({ length: 12 }, () => {
      const filler = ["words ", "中文", "- ", "x"][Math.floor(next() * 4)].repeat(Math.floor(next() * next() * 3000));
      return filler + inline[Math.floor(next() * inline.length)] + inline[Math.floor(next() * inline.length)];
    });
    assertSameInPieces(pieces.join(""), next, 2000);
  }
});

/** @type {[string, string, string, string][]} its end is near enough, or not, by the filler between */
const FAR = [
  ["emphasis", "*", "*", "<em>"], ["strong", "**", "**", "<strong>"], ["deleted", "~~", "~~", "<s>"], ["code", "`", "`", "<code>"],
  ["link text", "[", "](https://e.com/)", "<a "], ["address", "[a](", "https://e.com/)", "<a "], ["after the address", "[a](https://e.com/", ")", "<a "],
];

for (const [name, begin, end, tag] of FAR) {
  test(`${name} may be 4,900 characters long and not 5,100, however it streams`, () => {
    for (const [length, has] of /** @type {const} */ ([[4900, true], [5100, false]])) {
      const filler = begin.includes("(") ? " ".repeat(length) : `x${" y".repeat(length / 2)}`;
      const text = `*a* ${begin}${filler}${end} *b* ${"word ".repeat(1200)}*c*${end} d`;
      assert.equal(html(text).startsWith(`<p><em>a</em> ${tag}`), has);
      assertSameInPieces(text, random(length), 400);
    }
  });
}

test("what turns out to be text goes before the block that comes next", () => {
  const container = element();
  const stream = createStream(container);
  for (const piece of ["- a\n  ```", "b `c`\n  ```\n  d\n"]) stream.append(piece);
  stream.end();
  assert.equal(container.inner(), html("- a\n  ```b `c`\n  ```\n  d\n"));
});

/** @type {[string, string, number, number][]} what streams many times over, its elements, and those made anew in an update at most */
const LONG = [
  ["paragraph", "A **b** and `c`, then [d](https://e.com/). ", 3, 12], ["list", "- a **b** and `c`\n", 3, 12], ["loose list", "- a **b** and `c`\n\n", 4, 12],
  ["nested list", "- a\n  1. b `c`\n  2. *d*\n", 7, 12], ["table", "| a | **b** |\n|-|-|\n", 7, 12], ["quote", "> A **b**\n> and\n>\n", 2, 12],
  ["emphasis without an end", "A *b and `c` ", 1, 900],
];

for (const [name, piece, elements, anew] of LONG) {
  test(`a long ${name} is made once, but for its end`, () => {
    const container = element();
    const stream = createStream(container);
    const before = made.elements;
    const text = piece.repeat(2000);
    for (let at = 0; at < text.length; at += 7) stream.append(text.slice(at, at + 7));
    stream.end();
    const most = 2000 * elements + (text.length / 7) * anew;
    assert.ok(made.elements - before < most, `${made.elements - before} elements, at most ${most}`);
  });
}

test("finished top-level blocks keep their nodes", () => {
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

test("finished blocks inside an open list keep their nodes", () => {
  const container = element();
  const stream = createStream(container);
  stream.append("- ```\n  x\n  ```\n- b\n- c");
  const [first] = container.children[0].children;
  stream.append(" d\n- e");
  assert.equal(container.children[0].children[0], first);
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

test("an unclosed fence shows as code while it streams, without its possible end", () => {
  const container = element();
  const stream = createStream(container);
  stream.append("```js\nlet a;\n``");
  assert.equal(container.inner(), '<pre><code class="language-js">let a;\n</code></pre>');
});

test("a list that turns loose does so in the items that were built, and before its line ends", () => {
  const container = element();
  const stream = createStream(container);
  for (const piece of ["- a\n- b\n", "- c\n", "\n- d"]) stream.append(piece);
  assert.equal(container.inner(), html("- a\n- b\n- c\n\n- d"));
  assert.match(container.inner(), /^<ul><li><p>a<\/p>/);
});

test("what ends a fence is never shown while it streams", () => {
  assertSameInPieces("```\na\n```\u00a0\nb\n", () => 0);
  assertSameInPieces("  ```\n\ta\n    ```\n ```\t \nb", () => 0);
});

test("decorate sees every code block once when the text comes line by line", () => {
  /** @type {unknown[]} */ const seen = [];
  const container = element();
  const stream = createStream(container, { decorate: (/** @type {any} */ pre) => void seen.push(pre) });
  for (const line of ["```\n", "a\n", "```\n", "text\n", "\n", "```\n", "b\n", "```\n"]) stream.append(line);
  stream.end();
  assert.deepEqual(seen, container.children.filter((/** @type {any} */ node) => node.tagName === "PRE"));
  assert.equal(seen.length, 2);
});

const REFUSED = [
  "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](<java\tscript:alert(1)>)", "[x](java\nscript:alert(1))",
  "[x](&#106;avascript:alert(1))", "[x](java&#10;script:alert(1))", "[x](&#x1;javascript:alert(1))", "[x](javascript&#58;alert(1))",
  "[x](data:text/html,<script>alert(1)</script>)", "[x](vbscript:msgbox)", "[x](file:///etc/passwd)", "[x](blob:null/1)",
  "<javascript:alert(1)>", "<data:text/html,x>", "![x](data:image/svg+xml,<svg/onload=alert(1)>)", "![x](javascript:alert(1))",
  "[x](/relative)", "[x](//e.com/a)", "[x]()", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
  "<a href='javascript:alert(1)'>x</a>", "<!-- c -->", "&lt;script&gt;", "<svg/onload=alert(1)>",
];

for (const text of REFUSED) {
  test(`${JSON.stringify(text)} stays text`, () => {
    assert.doesNotMatch(html(text).replace(/<\/?p>|<br>/g, ""), /</);
  });
}

test("what is allowed to be a link is one, with its attributes quoted", () => {
  const found = html('[x](https://e.com/"onclick="a "\\" onmouseover=\\"b") ![y](https://e.com/i.png) <mailto:a@e.com> http://e.com/.');
  const attributes = 'rel="noopener noreferrer" target="_blank"';
  assert.equal(found, `<p><a href="https://e.com/%22onclick=%22a" ${attributes} title="&quot; onmouseover=&quot;b">x</a> `
    + `<a href="https://e.com/i.png" ${attributes}>y</a> <a href="mailto:a@e.com" ${attributes}>mailto:a@e.com</a> `
    + `<a href="http://e.com/" ${attributes}>http://e.com/</a>.</p>`);
});

test("an image without alt text shows its address, and a linked image is one link", () => {
  assert.match(html("![](https://e.com/i)"), />https:\/\/e.com\/i<\/a>/);
  assert.match(html("[![alt](https://e.com/i)](https://e.com/b)"), /^<p><a href="https:\/\/e.com\/b"[^>]*>alt<\/a><\/p>$/);
});

test("a fence's info string makes one class at most", () => {
  assert.equal(html("``` a&#32;b c\n```"), '<pre><code class="language-a"></code></pre>');
});

const many = (/** @type {string} */ text, count = 10_000) => text.repeat(count);

/** @type {[string, string][]} each finishes; the time limit is the runner's */
const HARD = [
  ["open brackets", many("[")], ["closed brackets", many("]")], ["empty links", many("[](", 200_000)], ["unmatched closers", many("*a ", 200_000) + many("b_ ", 200_000)], ["link starts", many("[a](b")],
  ["nested links", many("[") + "a" + many("](https://e.com/)")], ["images", many("![") + many("[a](https://e.com/)")],
  ["stars", many("*")], ["stars around", many("*") + "a" + many("*")], ["strong openers", many("**a ")], ["closers", many("a** ")],
  ["mixed runs", many("*a _b ") + many("c_ d* ")], ["nested emphasis", many("*a ") + many("b* ")], ["tildes", many("~~a ") + many("b~~ ")],
  ["ticks", Array.from({ length: 500 }, (_, i) => "`".repeat(i + 1)).join(" ")], ["single ticks", many("` `` ")], ["angles", many("<a:")],
  ["title quotes", many('[a](b "')], ["title parentheses", many("[a](b (")], ["dest angles", many("[a](<b")], ["backslashes", many("\\", 100_000)],
  ["ampersands", many("&", 100_000)], ["urls", many("https://", 20_000)], ["bad urls", many("https://:", 20_000)],
  ["url parentheses", "https://e.com/" + many(")", 100_000)], ["blanks", "a" + many(" ", 200_000) + "b\n" + many(" ", 200_000) + "c"],
  ["heading marks", "# a" + many(" #", 100_000) + " b"], ["rule marks", many("* ", 200_000) + "x"], ["quotes", many("> ") + "a"],
  ["quote lines", many("> > > > a\n")], ["lists", many("- ") + "a"], ["deep lists", Array.from({ length: 500 }, (_, i) => "  ".repeat(i) + "- a").join("\n")],
  ["ordered", many("1. ") + "a"], ["alternating", many("> - ") + "a"], ["list lines", many("- a\n\n")], ["wide table", `${many("|a")}|\n${many("|-")}|\n${many("|\n")}`],
  ["long table", `|a|b|\n|-|-|\n${many("|\n")}`], ["fence", "```\n" + many("let a = 1;\n", 100_000) + "```"], ["fence line", "```\n" + many("x", 4_000_000)],
  ["pipes", many("|", 100_000) + "\n-|-"], ["lines", many("a\n", 100_000)], ["words", many("word ", 400_000)],
  ["long title", `[a](https://e.com "${many("x", 9_000_000)}")`], ["long address", `[a](https://e.com/${many("(a)", 3_000_000)})`],
  ["long url", "https://e.com/" + many("(a)", 3_000_000)], ["blanks in a link", `[a](${many(" ", 400_000)}b "c"${many(" ", 400_000)}d`],
  ["long tick runs", `${many("`", 3_000_000)} ${many("`", 3_000_000)}`], ["escaped address", "[a](https://e.com/" + many("\\(", 100_000)],
  ["lone surrogates", "*\ud800* **\udc00** \udc00*a*"], ["controls", "\0\u0001\u2028\ufeff*a*"],
];

for (const [name, text] of HARD) {
  test(`hostile input finishes: ${name}`, () => assert.equal(typeof html(text), "string"));
}

test("a fence of one long line streams without being read again", () => {
  const container = element();
  const stream = createStream(container);
  stream.append("```\n");
  for (let i = 0; i < 200_000; i += 1) stream.append("token");
  stream.end();
  assert.equal(container.inner().length, 1_000_000 + "<pre><code>\n</code></pre>".length);
});
