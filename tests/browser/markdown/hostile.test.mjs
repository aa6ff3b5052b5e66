// Texts that are made to take long: each is shown soon, at once and as it streams. The time limit is the runner's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { html, streamed } from "./view.mjs";

const many = (/** @type {string} */ text, count = 10_000) => text.repeat(count);

/** @type {[string, string][]} */
const HARD = [
  ["open brackets", many("[")], ["closed brackets", many("]")], ["empty links", many("[](", 20_000)], ["unmatched closers", many("*a ", 20_000) + many("b_ ", 20_000)], ["link starts", many("[a](b")],
  ["nested links", many("[", 4_000) + "a" + many("](https://e.com/)", 4_000)], ["images", many("![", 4_000) + many("[a](https://e.com/)", 4_000)], ["references", many("[a][b]")], ["nested references", many("[a") + many("]")],
  ["stars", many("*")], ["stars around", many("*") + "a" + many("*")], ["strong openers", many("**a ")], ["closers", many("a** ")],
  ["mixed runs", many("*a _b ") + many("c_ d* ")], ["nested emphasis", many("*a ") + many("b* ")], ["tildes", many("~~a ") + many("b~~ ")],
  ["ticks", Array.from({ length: 300 }, (_, i) => "`".repeat(i + 1)).join(" ")], ["single ticks", many("` `` ")], ["angles", many("<a:")], ["tags", many("<sub>") + many("</sub>")],
  ["title quotes", many('[a](b "')], ["title parentheses", many("[a](b (")], ["dest angles", many("[a](<b")], ["backslashes", many("\\", 100_000)],
  ["ampersands", many("&", 100_000)], ["urls", many("https://", 10_000)], ["bad urls", many("https://:", 10_000)], ["hosts", many("www.", 4_000)], ["mail", many("a@", 20_000)],
  ["url parentheses", "https://e.com/" + many(")", 50_000)], ["blanks", "a" + many(" ", 100_000) + "b\n" + many(" ", 100_000) + "c"],
  ["heading marks", "# a" + many(" #", 50_000) + " b"], ["rule marks", many("* ", 50_000) + "x"], ["quotes", many("> ") + "a"],
  ["quote lines", many("> > > > a\n", 2_000)], ["lists", many("- ") + "a"], ["deep lists", Array.from({ length: 300 }, (_, i) => "  ".repeat(i) + "- a").join("\n")],
  ["ordered", many("1. ") + "a"], ["alternating", many("> - ") + "a"], ["list lines", many("- a\n\n")], ["wide table", `${many("|a", 3_000)}|\n${many("|-", 3_000)}|\n${many("|\n", 300)}`],
  ["short rows", `${many("|a", 100)}|\n${many("|-", 100)}|\n${many("|\n", 3_000)}`], ["long table", `|a|b|\n|-|-|\n${many("|\n")}`],
  ["fence", "```\n" + many("let a = 1;\n", 20_000) + "```"], ["fence line", "```\n" + many("x", 1_000_000)],
  ["pipes", many("|", 50_000) + "\n-|-"], ["lines", many("a\n")], ["words", many("word ", 50_000)], ["dollars", many("$a ", 20_000)], ["double dollars", many("$$a", 20_000)], ["formula starts", many("\\(a", 20_000) + many("\\[", 20_000)],
  ["long title", `[a](https://e.com "${many("x", 500_000)}")`], ["long address", `[a](https://e.com/${many("(a)", 200_000)})`], ["long label", `[${many("a", 100_000)}]: /b`],
  ["definitions", Array.from({ length: 2_000 }, (_, i) => `[a${i}]\n\n[a${i}]: /b\n\n`).join("")], ["notes", Array.from({ length: 500 }, (_, i) => `[^${i}]\n\n[^${i}]: b\n\n`).join("")],
  ["note starts", many("[^a]: ", 3_000)], ["details", many("<details>\n", 1_000)], ["titles without an end", many("[a]: /b 'c\n--\n", 1_000)],
  ["long tick runs", `${many("`", 200_000)} ${many("`", 200_000)}`], ["lone surrogates", "*\ud800* **\udc00** \udc00*a*"], ["controls", "\0\u0001\u2028\ufeff*a*"],
];

/** @param {string} text @returns {Generator<string>} in some dozen pieces */
function* pieces(text) {
  const size = Math.ceil(text.length / 60);
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

for (const [name, text] of HARD) {
  test(`${name} are shown`, () => assert.ok(streamed(pieces(text)) === html(text), "it streams into something else"));
}
