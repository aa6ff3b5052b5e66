// Markdown (a CommonMark and GFM subset) to DOM, also as it streams; it knows nothing of the chat.

import { Parser } from "./markdown_blocks.js";
import { GrowingCode } from "./markdown_code.js";
import { View } from "./markdown_view.js";

/** @typedef {import("./markdown_view.js").Decorate} Decorate */

/**
 * Renders Markdown that arrives in pieces into `container`, whose children it replaces.
 *
 * What is settled keeps its nodes and is not read again: finished blocks, lines and rows, words that
 * nothing can change any more. `decorate` is called once for each new <pre>, before it is filled;
 * it may append to it. After `end()` the content equals that of `render` of the whole text.
 * @param {HTMLElement} container @param {{decorate?: Decorate}} [options]
 */
export function createStream(container, { decorate } = {}) {
  const parser = new Parser();
  container.replaceChildren();
  const view = new View(parser.root, container, true, decorate);
  let partial = ""; // the line that has not ended
  /** @type {GrowingCode | undefined} a code block of which it is a line */ let code;

  function update() {
    const undo = parser.mark();
    if (partial) parser.add(partial, true);
    view.update(parser.root, false);
    undo();
    view.forget(parser.root);
    const { content } = view.last;
    code = content instanceof GrowingCode && content.isInLine ? content : undefined;
  }

  return {
    /** @param {string} text */
    append(text) {
      const clean = text.replaceAll("\r", "");
      const lines = clean.split("\n");
      lines[0] = partial + lines[0];
      partial = lines.pop() ?? "";
      if (code && !lines.length) return code.grow(clean); // a long line is not looked at again
      for (const line of lines) parser.add(line);
      update();
    },
    end() {
      if (partial) parser.add(partial);
      partial = "";
      parser.close(1);
      update();
    },
  };
}

/**
 * Replaces the children of `container` by `text`, rendered.
 * @param {string} text @param {HTMLElement} container @param {{decorate?: Decorate}} [options]
 */
export function render(text, container, options) {
  const stream = createStream(container, options);
  stream.append(text);
  stream.end();
}
