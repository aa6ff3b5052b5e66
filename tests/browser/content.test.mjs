// What messages and results consist of, and how it is put in words.

import assert from "node:assert/strict";
import { test } from "node:test";

import { attachmentsOf, contentOf, headline, plain } from "../../client/turnwire_browser/static/page/content.js";
import { Files } from "../../client/turnwire_browser/static/page/files.js";
import { formOf } from "../../client/turnwire_browser/static/page/input.js";
import { readable } from "../../client/turnwire_browser/static/page/result.js";
import { explain, fileSize, timeLeft } from "../../client/turnwire_browser/static/page/words.js";

const image = { type: "image", blob: "b_1", media_type: "image/png", bytes: 9, name: "cat.png" };
const paper = { type: "document", blob: "b_2", media_type: "application/pdf", bytes: 9 };
const text = (words) => ({ type: "text", text: words });

test("content is its text and its attachments, and made of them again", () => {
  const content = [text("one"), image, text("two"), paper];
  assert.equal(plain(content), "one\n\ntwo");
  assert.deepEqual(attachmentsOf(content), [image, paper]);
  assert.deepEqual(contentOf("one", [image]), [image, text("one")]);
  assert.deepEqual(contentOf("", [image]), [image]);
  assert.equal(contentOf("one", []), "one");
  assert.deepEqual([plain("one"), attachmentsOf("one")], ["one", []]);
  assert.deepEqual([plain(undefined), attachmentsOf(undefined)], ["", []]);
});

test("a text file is a block that anybody can read, and a file again", () => {
  for (const [name, said] of [
    ["notes.md", "# One\n\n```js\nx\n```\n````"],
    ["empty", ""],
    ["a: b.txt", "\n\n"],
  ]) {
    const file = { type: "text_file", name, text: said };
    const content = contentOf("Read this", [file, image]);
    assert.deepEqual(content.map(({ type }) => type), ["image", "text", "text"]);
    assert.equal(plain(content), "Read this");
    assert.deepEqual(attachmentsOf(content), [image, file]);
    assert.equal(headline(content), "Read this");
    assert(content[2].text.startsWith(`${name}:\n\n\`\`\``));
  }
  assert.deepEqual(attachmentsOf([text("notes.md:\n\nno fence")]), []);
  assert.deepEqual(attachmentsOf("a.md:\n\n```md\nx\n```"), []);
});

test("what has no text is headed by what is attached", () => {
  assert.equal(headline([image, paper]), "cat.png, Document");
  assert.equal(headline([image, text("A cat")]), "A cat");
});

test("JSON is made readable, and nothing else is touched", () => {
  assert.equal(readable('{"a":[1]}'), '{\n  "a": [\n    1\n  ]\n}');
  for (const said of ["plain", "5", "[not json", '{"id":12345678901234567890}', ""]) {
    assert.equal(readable(said), said);
  }
});

test("an input's values are shown as text where they are, else as JSON", () => {
  assert.deepEqual(formOf("a\nb"), { text: "a\nb", isJson: false });
  assert.deepEqual(formOf(["a", 5, null]), { text: "a\n5\nnull", isJson: false });
  assert.deepEqual(formOf(["a\nb"]), { text: '[\n  "a\\nb"\n]', isJson: true });
  assert.deepEqual(formOf([{ a: 1 }]), { text: '[\n  {\n    "a": 1\n  }\n]', isJson: true });
  assert.deepEqual(formOf({}), { text: "{}", isJson: true });
  for (const empty of ["", []]) assert.deepEqual(formOf(empty), { text: "(empty)", isJson: false });
  assert.deepEqual(formOf(null), { text: "null", isJson: false });
});

test("sizes and times in words", () => {
  assert.deepEqual([9, 1500, 999_700, 10_485_760].map(fileSize), ["9 bytes", "2 kB", "1.0 MB", "10.5 MB"]);
  assert.deepEqual([300, 61, 9, 0].map(timeLeft), ["5:00 left", "1:01 left", "0:09 left", ""]);
});

test("a file is fetched once for all who show it, and again after it has failed", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const revoked = [];
  context.mock.method(URL, "createObjectURL", (blob) => `blob:${blob.size}`);
  context.mock.method(URL, "revokeObjectURL", (url) => revoked.push(url));
  let fetched = 0;
  const files = new Files(async () => {
    fetched += 1;
    if (fetched === 1) throw new Error("lost");
    return new Blob(["12345"]);
  });
  await assert.rejects(files.open(image));
  assert.deepEqual(await Promise.all([files.open(image), files.open(image)]), ["blob:5", "blob:5"]);
  assert.equal(fetched, 2);
  files.close(image);
  context.mock.timers.tick(60_000);
  files.close(image);
  const again = files.open(image);
  context.mock.timers.tick(60_000);
  assert.equal(await again, "blob:5");
  assert.deepEqual(revoked, []);
  files.close(image);
  context.mock.timers.tick(60_000);
  await again;
  assert.deepEqual([fetched, revoked], [2, ["blob:5"]]);
});

test("which limit it is that was reached, the server says", () => {
  const { title, remedy } = explain("too_many", "the 1000 tokens of today (UTC) are used up");
  assert.deepEqual([title, remedy], ["You have reached a limit of this server.", "The 1000 tokens of today (UTC) are used up."]);
  assert.equal(explain("too_many").remedy, "Wait a moment, then try again.");
});
