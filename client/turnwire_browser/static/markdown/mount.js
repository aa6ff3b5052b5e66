// Specifications of nodes, and the nodes that are made of them and brought up to date; no Markdown.
//
// Text reaches the page only through createElement, setAttribute and text nodes.

/**
 * What an element is to be. `kind`: what it is for who dresses it; `complete`: nothing in it will
 * change any more.
 * @typedef {{tag: string, attributes: Record<string, string>, children: Spec[], kind?: Kind,
 *   complete?: boolean}} ElementSpec
 */
/** @typedef {"code" | "math" | "table" | "task" | "back" | "source"} Kind */
/** @typedef {ElementSpec | string} Spec a string is a text node */

/**
 * Who gives elements of a kind what is not in the text: buttons, colours, names.
 * @typedef {{
 *   dress?: (element: HTMLElement, kind: Kind) => void,
 *   complete?: (element: HTMLElement, kind: Kind) => void,
 *   hasSources?: boolean,
 * }} Dresser `dress` sees an element once, with what is in it so far, and may append to it;
 *   `complete` sees it once, when nothing in it will change. `hasSources`: what `[^source-1]` refers to is shown
 *   beside the text, and not a note of it
 */

/** A node that shows a specification; its `children` lack those that are settled. */
export class Mount {
  /** @type {Mount[]} */ children = [];
  gone = 0; // characters of a text before those of its specification

  /** @param {Spec} spec @param {Dresser} dresser */
  constructor(spec, dresser) {
    this.spec = spec;
    this.dresser = dresser;
    if (typeof spec === "string") {
      this.node = this.text = document.createTextNode(spec);
      return;
    }
    const element = document.createElement(spec.tag);
    this.node = this.element = element;
    for (const [name, value] of Object.entries(spec.attributes)) element.setAttribute(name, value);
    showAll(element, this.children, spec.children, dresser);
    if (spec.kind) dresser.dress?.(element, spec.kind);
    if (spec.kind && spec.complete) dresser.complete?.(element, spec.kind);
  }

  /** Whether it can show that instead. @param {Spec} spec */
  fits(spec) {
    const shown = this.spec;
    if (typeof shown === "string" || typeof spec === "string") return typeof shown === typeof spec;
    if (shown.tag !== spec.tag || shown.kind !== spec.kind) return false;
    // What is complete was perhaps filled with something else by its dresser.
    return !shown.complete || !shown.kind || same(shown, spec);
  }

  /** @param {Spec} spec that fits */
  show(spec) {
    const shown = this.spec;
    this.spec = spec;
    if (shown === spec) return;
    if (typeof spec === "string") return this.#showText(String(shown), spec);
    const { element } = this;
    if (!element || typeof shown === "string" || (shown.complete && shown.kind)) return;
    const { attributes, children, kind, complete } = spec;
    for (const name of Object.keys(shown.attributes)) {
      if (!(name in attributes)) element.removeAttribute(name);
    }
    for (const [name, value] of Object.entries(attributes)) {
      if (shown.attributes[name] !== value) element.setAttribute(name, value);
    }
    if (shown.children !== children) showAll(element, this.children, children, this.dresser);
    if (kind && complete) this.dresser.complete?.(element, kind);
  }

  /** @param {string} shown @param {string} text */
  #showText(shown, text) {
    if (text === shown) return;
    if (text.startsWith(shown)) this.text?.appendData(text.slice(shown.length));
    else this.text?.replaceData(this.gone, shown.length, text);
  }

  /** The start of its text stays as it is. @param {number} length */
  settleText(length) {
    this.gone += length;
    this.spec = String(this.spec).slice(length);
  }
}

/**
 * Makes the mounts of neighbours show these.
 * @param {Node} parent @param {Mount[]} mounts is changed @param {Spec[]} specs @param {Dresser} dresser
 * @param {ChildNode | null} [before] what comes behind the last one
 */
export function showAll(parent, mounts, specs, dresser, before = null) {
  specs.forEach((spec, i) => {
    const known = mounts[i];
    if (known?.fits(spec)) return known.show(spec);
    const made = (mounts[i] = new Mount(spec, dresser));
    if (known) parent.replaceChild(made.node, known.node);
    else parent.insertBefore(made.node, before);
  });
  for (const mount of mounts.splice(specs.length)) mount.node.remove();
}

/** @param {Spec} a @param {Spec} b @returns {boolean} */
function same(a, b) {
  if (a === b) return true;
  if (typeof a === "string" || typeof b === "string" || a.tag !== b.tag) return false;
  const names = Object.keys(a.attributes);
  return names.length === Object.keys(b.attributes).length
    && names.every((name) => a.attributes[name] === b.attributes[name])
    && a.children.length === b.children.length
    && a.children.every((child, i) => same(child, b.children[i]));
}
