/** Views of an answer's text and thinking; they grow with the block and know no turn. */

import { createStream } from "../markdown/markdown.js";
import { element, setText } from "./element.js";
import { words } from "./language.js";
import { DRESSER } from "./prose.js";
import { duration } from "./words.js";

/** @typedef {import("../turnwire/fold.js").TextBlock} TextBlock */
/** @typedef {import("../turnwire/fold.js").ThinkingBlock} ThinkingBlock */

/** Markdown that grows: only what is new is handed on, however often the block is looked at. */
class GrowingMarkdown {
  #shown = "";
  #ended = false;

  /**
   * @param {HTMLElement} container
   * @param {import("../markdown/mount.js").Dresser} [dresser]
   */
  constructor(container, dresser = DRESSER) {
    this.container = container;
    this.dresser = dresser;
    this.stream = createStream(container, dresser);
  }

  /**
   * @param {string} text all of it so far
   * @param {boolean} ended whether the turn is done
   */
  update(text, ended) {
    // After a rewind another attempt's text may stand under the same number.
    if (this.#ended ? text !== this.#shown : !text.startsWith(this.#shown)) {
      this.stream = createStream(this.container, this.dresser);
      this.#shown = "";
      this.#ended = false;
    }
    if (this.#ended) return;
    if (text.length > this.#shown.length) this.stream.append(text.slice(this.#shown.length));
    this.#shown = text;
    this.#ended = ended;
    if (ended) this.stream.end();
  }
}

/** A text: the answer itself. */
export class TextView {
  /** @param {import("./sources.js").SourcesView} sources that its marks refer to */
  constructor(sources) {
    this.element = element("div", { class: "prose", dir: "auto" });
    this.markdown = new GrowingMarkdown(this.element, {
      ...DRESSER,
      hasSources: true,
      dress: (target, kind) => (kind === "source" ? sources.dress(target) : DRESSER.dress?.(target, kind)),
    });
  }

  /**
   * @param {TextBlock} block
   * @param {boolean} isOver whether nothing more will come of it
   */
  update({ text }, isOver) {
    // Marks stand before the white space at the end of a block, which is complete by then.
    this.markdown.update(isOver ? text : text.trimEnd(), isOver);
  }
}

/** A thinking block: a panel that the reader opens; how long it took is known to who watched it. */
export class ThinkingView {
  /** @type {number | undefined} */
  #began;
  #settled = false;

  /** @param {boolean} live whether the block begins now, rather than being read from the past */
  constructor(live) {
    this.label = element("span", { class: "thinking-label" });
    this.body = element("div", { class: "prose thinking-text", dir: "auto" });
    this.element = element(
      "details",
      { class: "thinking" },
      element("summary", {}, this.label),
      this.body,
    );
    this.markdown = new GrowingMarkdown(this.body);
    if (live) this.#began = performance.now();
  }

  /**
   * @param {ThinkingBlock} block
   * @param {boolean} ended whether its turn has ended
   */
  update(block, ended) {
    const over = block.complete || ended;
    this.markdown.update(block.text, over);
    this.element.classList.toggle("active", !over);
    // Signed thinking may come without its text: then there is nothing to open.
    this.element.hidden = over && !block.text;
    if (this.#settled && over) return;
    this.#settled = over;
    setText(this.label, over ? this.#past() : words.thinking.active);
  }

  #past() {
    if (this.#began === undefined) return words.thinking.past;
    const seconds = Math.max(1, Math.round((performance.now() - this.#began) / 1000));
    return words.thinking.took(seconds < 60 ? words.units.seconds(String(seconds)) : duration(seconds * 1000));
  }
}
