// What neither specification has an example of: Chinese, Japanese and Korean, mathematics, notes, tags, nesting.

import assert from "node:assert/strict";
import { test } from "node:test";
import { html, shownAs, streamed } from "./view.mjs";
import { shown } from "./plain_html.mjs";

const CODE = "<pre><code>";
/** @type {[string, string, string][]} */
const CASES = [
  ["bold before a Chinese full stop", "**这是重点。**后面", "<p><strong>这是重点。</strong>后面</p>"],
  ["bold around Chinese brackets", "中文**（加粗）**也是", "<p>中文<strong>（加粗）</strong>也是</p>"],
  ["bold in Japanese brackets", "日本語**「強調」**です", "<p>日本語<strong>「強調」</strong>です</p>"],
  ["bold with a Japanese full stop", "**太字です。**次の文", "<p><strong>太字です。</strong>次の文</p>"],
  ["bold before a Korean particle", "**스크립트(script)**라고", "<p><strong>스크립트(script)</strong>라고</p>"],
  ["italics around full-width marks", "*“你好！”*他说", "<p><em>“你好！”</em>他说</p>"],
  ["ranges", "3~5天，每次10~20分钟", "<p>3~5天，每次10~20分钟</p>"],
  ["an address before a Chinese comma", "见https://e.com/a，然后", '<p>见<a href="https://e.com/a">https://e.com/a</a>，然后</p>'],

  ["mathematics in a line", "so $x_1 * y_2$ and *it*", '<p>so <span class="math">x_1 * y_2</span> and <em>it</em></p>'],
  ["in parentheses", "so \\(a_b\\) and \\(c_d\\)", '<p>so <span class="math">a_b</span> and <span class="math">c_d</span></p>'],
  ["displayed in a line", "so $$a_b$$ and \\[c_d\\]", '<p>so <span class="math display">a_b</span> and <span class="math display">c_d</span></p>'],
  ["as a block", "a\n$$\nx_1\n= y\n- z\n$$\nb", '<p>a</p><div class="math display">x_1\n= y\n- z</div><p>b</p>'],
  ["as a block in brackets", "\\[\n# x\n\\]", '<div class="math display"># x</div>'],
  ["on one line", "$$ E = mc^2 $$\n\n\\[ a \\]", '<div class="math display">E = mc^2</div><div class="math display">a</div>'],
  ["that begins with a command", "$$\\begin{aligned}\na &= b \\\\\n- c\n\\end{aligned}$$", '<div class="math display">\\begin{aligned}\na &amp;= b \\\\\n- c\n\\end{aligned}</div>'],
  ["without an end", "$$\nx_1", '<div class="math display">x_1</div>'],
  ["in a list and a quotation", "- $$\n  a\n  $$\n> $b_1$", '<ul><li><div class="math display">a</div></li></ul><blockquote><p><span class="math">b_1</span></p></blockquote>'],
  ["in a table", "|a|\n|-|\n|$x_1$ and $y$|", '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td><span class="math">x_1</span> and <span class="math">y</span></td></tr></tbody></table>'],
  ["money", "It costs $5, not $10; US$ 3 or 4$ or $5-$10.", "<p>It costs $5, not $10; US$ 3 or 4$ or $5-$10.</p>"],
  ["variables of a shell", "echo $HOME $PATH", "<p>echo $HOME $PATH</p>"],
  ["dollars in code", "`$x$` and `a$b`$", "<p><code>$x$</code> and <code>a$b</code>$</p>"],
  ["escaped dollars and brackets", "\\$x\\$ \\(\\) \\[", "<p>$x$ () [</p>"],

  ["a list in a list in a list", "1. a\n   - b\n     1. c\n\n     2. d\n   - e\n2. f", "<ol><li>a<ul><li>b<ol><li><p>c</p></li><li><p>d</p></li></ol></li><li>e</li></ul></li><li>f</li></ol>"],
  ["code in a list", "- a\n\n  ```\n  b\n\n    c\n  ```\n- d", `<ul><li><p>a</p>${CODE}b\n\n  c\n</code></pre></li><li><p>d</p></li></ul>`],
  ["indented code", "a\n\n    b\n      c\n\nd", `<p>a</p>${CODE}b\n  c\n</code></pre><p>d</p>`],
  ["tasks in tasks", "- [ ] a\n  - [x] b\n- [x]c", '<ul><li><input disabled="" type="checkbox"> a<ul><li><input checked="" disabled="" type="checkbox"> b</li></ul></li><li>[x]c</li></ul>'],

  ["breaks in a table", "|a|\n|-|\n|b<br>c<BR/>d|", "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>b<br>c<br>d</td></tr></tbody></table>"],
  ["tags in a table", "|a|\n|-|\n|H<sub>2</sub>O, x<sup>*2*</sup>, <kbd>Ctrl</kbd>|", "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>H<sub>2</sub>O, x<sup><em>2</em></sup>, <kbd>Ctrl</kbd></td></tr></tbody></table>"],
  ["a tag with an attribute", 'a<br class="x">b<sub id=y>c</sub>', "<p>a&lt;br class=&quot;x&quot;&gt;b&lt;sub id=y&gt;c&lt;/sub&gt;</p>"],
  ["a tag without an end", "a <kbd> b </sup>", "<p>a &lt;kbd&gt; b &lt;/sup&gt;</p>"],
  ["details", "<details>\n<summary>A *b*</summary>\n\n- c\n\n```\nd\n```\n</details>\ne", `<details><summary>A <em>b</em></summary><ul><li>c</li></ul>${CODE}d\n</code></pre></details><p>e</p>`],
  ["details in details, without an end", "<details open><summary>a</summary>\n<details>\nb\n</details>\nc", "<details><summary>a</summary><details><p>b</p></details><p>c</p></details>"],
  ["details in a list", "- <details>\n  <summary>a</summary>\n\n  b\n- c", "<ul><li><details><summary>a</summary><p>b</p></details></li><li><p>c</p></li></ul>"],
  ["an end of no details", "a\n\n</details>", "<p>a</p><div>&lt;/details&gt;</div>"],

  ["a link to a definition far below", "[a] and [b][A] and ![c][a]\n\ntext\n\n[A]: /url 't'", '<p><a href="/url" title="t">a</a> and <a href="/url" title="t">b</a> and <a href="/url" title="t">c</a></p><p>text</p>'],
  ["names of JavaScript's own", "[constructor] [^constructor] [toString][hasOwnProperty]", "<p>[constructor] [^constructor] [toString][hasOwnProperty]</p>"],
  ["an image without words", "![](https://e.com/i) [![b](https://e.com/i)](https://e.com/b)", '<p><a href="https://e.com/i">https://e.com/i</a> <a href="https://e.com/b">b</a></p>'],
  ["what looks like a host", "README.md, node.js and www.e.com", '<p>README.md, node.js and <a href="http://www.e.com">www.e.com</a></p>'],
];

for (const [name, text, expected] of CASES) {
  test(name, () => {
    assert.equal(shown(shownAs(text)), expected);
    assert.equal(streamed(text), html(text));
  });
}

test("notes are numbered by where they are first referred to, and lead back", () => {
  const text = "b[^2] a[^1] b again[^2], none[^3]\n\n[^1]: One, with [^4].\n\n    - more\n[^2]: Two\nand on\n[^4]: Four\n[^unused]: Not shown";
  const mark = (/** @type {number} */ number, from = "") =>
    `<sup class="note-ref" data-note="LABEL"${from}><a role="doc-noteref" href="#note-${number}">${number}</a></sup>`;
  const back = (/** @type {number} */ number) => `<a class="note-back" role="doc-backlink" href="#note-${number}-from">↩</a>`;
  const first = (/** @type {number} */ number) => mark(number, ` id="note-${number}-from"`);
  assert.equal(
    html(text).replace(/data-note="\d"/g, 'data-note="LABEL"'),
    `<p>b${first(1)} a${first(2)} b again${mark(1)}, none[^3]</p>`
      + `<section class="notes" role="doc-endnotes"><ol><li class="note" id="note-1"><p>Two\nand on ${back(1)}</p></li>`
      + `<li class="note" id="note-2"><p>One, with ${first(3)}.</p><ul class="tight"><li><p>more</p></li></ul>${back(2)}</li>`
      + `<li class="note" id="note-3"><p>Four ${back(3)}</p></li></ol></section>`,
  );
  assert.equal(streamed(text), html(text));
});
