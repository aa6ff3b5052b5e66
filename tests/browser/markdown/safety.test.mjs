// Whatever a text says: what is shown has no other elements, attributes and targets than these.

import assert from "node:assert/strict";
import { test } from "node:test";
import { html, shownAs } from "./view.mjs";

const TAGS = new Set(("a blockquote br code del details div em h1 h2 h3 h4 h5 h6 hr input kbd li ol p pre s section span strong sub summary "
  + "sup table tbody td th thead tr ul").split(" "));
const ATTRIBUTES = new Set("align checked class data-note disabled href id rel role start target title type".split(" "));

const HOSTILE = [
  "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](<java\tscript:alert(1)>)", "[x](java\nscript:alert(1))", "[x]( javascript:alert(1))",
  "[x](&#106;avascript:alert(1))", "[x](java&#10;script:alert(1))", "[x](java&Tab;script:alert(1))", "[x](&#x1;javascript:alert(1))", "[x](javascript&#58;alert(1))",
  "[x](javascript&colon;alert(1))", "[x](\\javascript:alert(1))", "[x](data:text/html,<script>alert(1)</script>)", "[x](DATA:text/html;base64,PHN2Zz4=)", "[x](vbscript:msgbox)",
  "[x](file:///etc/passwd)", "[x](blob:null/1)", "[x](view-source:https://e.com/)", "[x](intent://e.com#Intent;end)", "<javascript:alert(1)>", "<data:text/html,x>",
  "![x](data:image/svg+xml,<svg/onload=alert(1)>)", "![x](javascript:alert(1))", "[x]\n\n[x]: javascript:alert(1)", "![x][y]\n\n[y]: <data:text/html,z> 't'",
  "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<a href='javascript:alert(1)'>x</a>", "<svg/onload=alert(1)>", "<iframe src=//e.com>", "<style>*{}</style>",
  "<br onclick=alert(1)>", "<details ontoggle=alert(1) open>\n", "<summary onclick=x>y</summary>", "<kbd style=x>y</kbd>", "<sub><script>alert(1)</script></sub>", "<!-- --><b>x</b>",
  "[x](https://e.com/\"onclick=\"alert(1) \"\\\" onmouseover=\\\"b\")", "``` \"><script>alert(1)</script>\nx\n```", "``` x\" onclick=alert(1)\n```", "$\\href{javascript:alert(1)}{x}$",
  "[^x]\n\n[^x]: <script>alert(1)</script> [y](javascript:alert(1))", "[^\"><img src=x onerror=alert(1)>]\n\n[^\"><img]: x", "|<script>|\n|-|\n|<img onerror=x>|", "|a|\n|:-:\" onclick=x|\n|b|",
  "[x](//e.com\\@evil)", "https://e.com/\"onmouseover=alert(1)", "www.e.com\"><script>", "- [x] <input onfocus=alert(1) autofocus>", "1\" onclick=x. a", "# <h1 onclick=x>",
];

test("there are forty and more of them", () => assert.ok(new Set(HOSTILE).size >= 40));

for (const text of HOSTILE) {
  test(`${JSON.stringify(text)} is harmless`, () => {
    const waiting = [...shownAs(text).children];
    for (const node of waiting) {
      if (!node.tagName) continue;
      assert.ok(TAGS.has(node.tagName.toLowerCase()), node.html());
      for (const [name, value] of node.attributes) {
        assert.ok(ATTRIBUTES.has(name), node.html());
        const { protocol } = new URL(value, "https://page.example/");
        if (name === "href") assert.match(protocol, /^(?:https?|mailto):$/, node.html());
      }
      if (node.tagName === "INPUT") assert.ok(node.attributes.has("disabled"));
      waiting.push(...node.children);
    }
  });
}

test("a refused link stays the text that it is", () => {
  assert.equal(html("[x](javascript:a)"), "<p>[x](javascript:a)</p>");
  assert.equal(html("<data:x>"), "<p>&lt;data:x&gt;</p>");
});

test("what is allowed to be a link leads elsewhere, and is quoted", () => {
  const elsewhere = 'rel="noopener noreferrer" target="_blank"';
  assert.equal(html('[x](https://e.com/"a "\\" b=\\"c") <mailto:a@e.com>'), `<p><a href="https://e.com/%22a" ${elsewhere} title="&quot; b=&quot;c">x</a> `
    + `<a href="mailto:a@e.com" ${elsewhere}>mailto:a@e.com</a></p>`);
});
