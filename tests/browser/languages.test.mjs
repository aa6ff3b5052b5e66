// The languages of the page: each says everything that English says, and index.html asks for nothing else.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { LANGUAGES, languageFor } from "../../client/turnwire_browser/static/page/languages.js";
import { english } from "../../client/turnwire_browser/static/page/languages/en.js";
import { cost, declined } from "../../client/turnwire_browser/static/page/words.js";

const INDEX = new URL("../../client/turnwire_browser/static/index.html", import.meta.url);

/** The paths of all words, with what kind each is; a sentence's parts count. */
function shape(words, path = "") {
  if (typeof words !== "object") return [`${path} ${typeof words}`];
  return Object.entries(words).flatMap(([name, value]) => shape(value, `${path}.${name}`));
}

for (const [tag, { name, load = async () => english }] of Object.entries(LANGUAGES)) {
  test(`${name} says all that English says`, async () => {
    const words = await load();
    assert.equal(words.name, name);
    assert.deepEqual(shape(words).sort(), shape(english).sort());
    for (const [path, said] of Object.entries(words.settings)) assert(said, `${tag}: ${path}`);
  });
}

test("every element of the page that asks for words finds them", () => {
  const asked = [...readFileSync(INDEX, "utf8").matchAll(/data-say="([^"]*)"/g)];
  const paths = asked.flatMap(([, parts]) => parts.split(" ").map((part) => part.split(":")[1]));
  assert(paths.length > 10);
  for (const path of paths) {
    const [group, name] = path.split(".");
    assert.equal(typeof english[group]?.[name], "string", path);
  }
});

test("the first language of the browser that there is", () => {
  assert.equal(languageFor(["xh", "JA-jp", "de"]), "ja");
  assert.equal(languageFor(["de-AT"]), "de");
  assert.equal(languageFor(["xh"]), "en");
  assert.equal(languageFor([]), "en");
});

test("a cost that is too small to write is not nothing", () => {
  assert.equal(cost(0), "$0.0000");
  assert.equal(cost(0.00001), "< $0.0001");
  assert.equal(cost(0.0042), "$0.0042");
});

test("a refusal is told by its area as far as it is known, and in the provider's words", () => {
  assert.equal(declined({ category: "bio", explanation: "No." }), "Reason: biology. No.");
  assert.equal(declined({ category: "later" }), "Reason: later.");
  assert.equal(declined({ explanation: "No." }), "No.");
  assert.equal(declined({}), "");
});
