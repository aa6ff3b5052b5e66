// Reads a JSON array of Markdown texts from standard input, writes the array of their HTML.

import { element } from "./dom.mjs";
import { readFileSync } from "node:fs";

const { render } = await import("../../client/turnwire_browser/static/markdown/markdown.js");

/** @type {string[]} */
const texts = JSON.parse(readFileSync(0, "utf8"));
const html = texts.map((text) => {
  const container = element();
  render(text, container);
  return container.inner();
});
process.stdout.write(JSON.stringify(html));
