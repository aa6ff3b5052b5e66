/** An answer's blocks as they are read: neighbouring texts as one, with marks where they cite; pure. */

import { Sources, noted } from "../turnwire/sources.js";

/** @typedef {import("../turnwire/fold.js").Block} Block */

export class Passages {
  /** @type {Block[]} no two texts are neighbours; a text that neither cites nor has neighbours is the turn's own */
  blocks = [];

  /** @param {ReadonlyArray<Readonly<Block>>} blocks of one answer */
  constructor(blocks) {
    const sources = new Sources();
    for (const block of blocks) {
      const last = this.blocks.at(-1);
      if (block.type !== "text") this.blocks.push(block);
      else {
        const text = noted(block.text, sources.numbers(block.citations));
        if (last?.type !== "text") this.blocks.push(text === block.text ? block : { ...block, text });
        else this.blocks[this.blocks.length - 1] = { ...last, complete: block.complete, text: last.text + text };
      }
    }
    /** What they cite. */
    this.sources = sources.list;
  }

  /** The answer's texts, with their sources as notes. */
  get markdown() {
    const texts = this.blocks.map((block) => (block.type === "text" ? block.text : "")).filter(Boolean).join("\n\n");
    const notes = this.sources.map(({ number, title, url }) => `[^source-${number}]: ${noteOf(title, url)}`);
    return notes.length > 0 ? `${texts.trimEnd()}\n\n${notes.join("\n")}` : texts;
  }
}

/**
 * A source on one line of Markdown.
 *
 * @param {string} title
 * @param {string} [url]
 */
function noteOf(title, url) {
  const words = title.replace(/\s+/g, " ").trim().replace(/[\\[\]<>*_`]/g, "\\$&");
  return url === undefined ? words : `[${words}](<${url.replace(/[<>\\]/g, encodeURIComponent)}>)`;
}
