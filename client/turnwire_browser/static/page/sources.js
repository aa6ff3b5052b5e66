/** The sources of an answer: the list under it, and the marks in its text that lead to them. */

import { ELSEWHERE } from "../markdown/elements.js";
import { isAllowed } from "../markdown/grammar.js";
import { element, setText } from "./element.js";
import { words } from "./language.js";

/** @typedef {import("../turnwire/sources.js").Source} Source */

/** More are folded away, until the reader asks for them. */
const FEW = 4;

export class SourcesView {
  /** @type {readonly Source[]} */
  #sources = [];
  #shown = "";

  constructor() {
    this.count = element("summary", {});
    this.list = element("ol", {});
    this.element = element("details", { class: "sources", hidden: true }, this.count, this.list);
  }

  /** @param {readonly Source[]} sources of the answer, as far as it has come */
  update(sources) {
    this.#sources = sources;
    const shown = sources.length > 0 ? JSON.stringify(sources) : "";
    if (shown === this.#shown) return;
    // Once: more may come while the reader has it open, or has closed it.
    if (this.list.childElementCount === 0) this.element.open = sources.length <= FEW;
    this.#shown = shown;
    this.element.hidden = sources.length === 0;
    setText(this.count, words.sources.count(sources.length));
    this.list.replaceChildren(...sources.map((source) => element("li", { dir: "auto" }, ...itemOf(source))));
  }

  /**
   * Give a mark what its number does not say.
   *
   * @param {HTMLElement} mark
   */
  dress(mark) {
    const source = this.#sources.find(({ number }) => String(number) === mark.dataset.source);
    if (!source) return;
    const name = words.sources.source(source.number, source.title);
    const about = { "aria-label": name, title: name };
    mark.replaceChildren(
      address(source) === undefined
        ? element("span", { role: "img", ...about }, String(source.number))
        : element("a", { href: source.url, ...ELSEWHERE, ...about }, String(source.number)),
    );
  }
}

/** @param {Source} source */
function itemOf(source) {
  const { title, url } = source;
  const host = address(source)?.host;
  if (host === undefined) return [element("span", {}, title)];
  const link = element("a", { href: url, ...ELSEWHERE }, title);
  return title === url ? [link] : [link, " ", element("span", { class: "source-host" }, host.replace(/^www\./, ""))];
}

/** Where it is, if a link may lead there. @param {Source} source */
function address({ url }) {
  return url !== undefined && URL.canParse(url) && isAllowed(url) ? new URL(url) : undefined;
}
