// The blocks of a Markdown text as DOM, brought up to date as they grow; it parses nothing.

import { isList } from "./markdown_blocks.js";
import { GrowingCode } from "./markdown_code.js";
import { GrowingInline, makeElement } from "./markdown_inline.js";
import { GrowingTable } from "./markdown_table.js";

/** @typedef {import("./markdown_blocks.js").Block} Block */
/** @typedef {(pre: HTMLElement) => void} Decorate */

/**
 * The view of a block, or of another of its kind that turns out to be in its place. In a tight list
 * a paragraph has no element: its content is in its item.
 */
export class View {
  /** @type {View[]} */ children = [];
  settled = 0; // so many of them are not looked at again
  /** @type {boolean | undefined} of a list and its items */ tight;

  /**
   * @param {Block} block @param {HTMLElement} parent @param {boolean} bare without an element
   * @param {Decorate} [decorate]
   */
  constructor({ tag, attributes }, parent, bare, decorate) {
    this.tag = tag;
    this.attributes = attributes;
    this.bare = bare;
    this.decorate = decorate;
    this.element = bare ? parent : makeElement(tag, tag === "pre" ? {} : attributes);
    this.content = this.fill();
    if (!bare) parent.append(this.element);
  }

  /** @returns {GrowingCode | GrowingInline | GrowingTable | undefined} of a leaf */
  fill() {
    const { tag, element } = this;
    if (tag === "table") return new GrowingTable(element);
    if (/^(?:p|h\d)$/.test(tag)) return new GrowingInline(element);
    if (tag !== "pre") return undefined;
    const code = makeElement("code", this.attributes);
    const content = new GrowingCode(code);
    element.append(code);
    this.decorate?.(element);
    return content;
  }

  /** Whether it can show that block. @param {Block} block @param {boolean} bare */
  fits({ tag, attributes }, bare) {
    const { class: language, start } = this.attributes;
    return this.tag === tag && this.bare === bare
      && language === attributes.class && start === attributes.start;
  }

  /** @param {Block} block @param {boolean} tight whether it is an item of a tight list */
  update(block, tight) {
    if (this.content) return this.content.update(block.lines);
    tight = isList(block) ? !block.loose : block.tag === "li" && tight;
    if (this.tight !== tight) this.settled = 0;
    this.tight = tight;
    for (let i = this.settled; i < block.children.length; i += 1) {
      this.place(i, block.children[i], block.tag === "li" && tight).update(block.children[i], tight);
    }
    this.cut(block.children.length);
    this.settled = block.final;
  }

  /** A view for that child. @param {number} i @param {Block} child @param {boolean} tight */
  place(i, child, tight) {
    const bare = tight && child.tag === "p";
    const known = this.children[i];
    if (known && !known.fits(child, bare)) this.cut(i);
    // What has no element grows at its parent's end.
    const { content } = known ?? {};
    if (bare && content instanceof GrowingInline && !content.shows(child.lines)) this.cut(i + 1);
    return (this.children[i] ??= new View(child, this.element, bare, this.decorate));
  }

  /** Takes off the children from this one on. @param {number} i */
  cut(i) {
    for (const child of this.children.splice(i).reverse()) child.remove();
  }

  remove() {
    if (this.bare && this.content instanceof GrowingInline) this.content.remove();
    else this.element.remove();
  }

  /** Forgets the settled children of the root, which nobody will ask for. @param {Block} root */
  forget(root) {
    root.children.splice(0, this.settled);
    this.children.splice(0, this.settled);
    this.settled = 0;
  }

  /** @returns {View} the innermost one at the end */
  get last() {
    return this.children[this.children.length - 1]?.last ?? this;
  }
}
