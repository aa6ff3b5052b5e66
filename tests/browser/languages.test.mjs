// The languages of the page: each says everything that English says, and index.html asks for nothing else.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { LANGUAGES, languageFor } from "../../client/turnwire_browser/static/page/language.js";

const INDEX = new URL("../../client/turnwire_browser/static/index.html", import.meta.url);

/** The paths of all words, with what kind each is; a sentence's parts count. */
function shape(words, path = "") {
  if (typeof words !== "object") return [`${path} ${typeof words}`];
  return Object.entries(words).flatMap(([name, value]) => shape(value, `${path}.${name}`));
}

const english = await LANGUAGES.en.load();

for (const [tag, { name, load }] of Object.entries(LANGUAGES)) {
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
