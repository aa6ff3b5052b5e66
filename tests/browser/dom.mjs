// A minimal DOM for Node: the few members that markdown.js and the views of a turn use, serialised to HTML.
// It has no innerHTML and no parser, so code that reaches for them fails here.

const VOID = new Set(["br", "hr", "input"]);

/** @param {string} text */
const escape = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

class FakeNode {
  /** @type {FakeElement | null} */ parent = null;

  remove() {
    if (!this.parent) return;
    this.parent.children.splice(this.parent.children.lastIndexOf(this), 1);
    this.parent = null;
  }

  get nextSibling() {
    return this.parent?.children[this.parent.children.lastIndexOf(this) + 1] ?? null;
  }
}

class FakeText extends FakeNode {
  /** @param {string} data */
  constructor(data) {
    super();
    this.data = data;
    this.appends = 0;
  }

  /** @param {string} text */
  appendData(text) {
    this.data += text;
    this.appends += 1;
  }

  /** @param {number} at @param {number} count @param {string} text */
  replaceData(at, count, text) {
    this.data = this.data.slice(0, at) + text + this.data.slice(at + count);
  }

  get textContent() {
    return this.data;
  }

  html() {
    return escape(this.data);
  }
}

class FakeElement extends FakeNode {
  /** @param {string} tag */
  constructor(tag) {
    super();
    this.tagName = tag.toUpperCase();
    /** @type {Map<string, string>} */ this.attributes = new Map();
    /** @type {(FakeElement | FakeText)[]} */ this.children = [];
    /** @type {Record<string, string>} not in the HTML, as nothing else that a script sets as a property */ this.dataset = {};
  }

  /** Nothing happens here. */
  addEventListener() {}

  get classList() {
    const names = new Set((this.attributes.get("class") ?? "").split(" ").filter(Boolean));
    return {
      toggle: (/** @type {string} */ name, /** @type {boolean} */ has) => {
        if (has) names.add(name);
        else names.delete(name);
        this.setAttribute("class", [...names].join(" "));
      },
    };
  }

  /** @param {string} name @param {string} value */
  setAttribute(name, value) {
    this.attributes.set(name, String(value));
  }

  /** @param {string} name */
  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }

  /** @param {string} name */
  removeAttribute(name) {
    this.attributes.delete(name);
  }

  /** @param {FakeElement | FakeText} node @param {FakeElement | FakeText | null} before */
  insertBefore(node, before) {
    node.remove();
    node.parent = this;
    const at = before ? this.children.lastIndexOf(before) : -1;
    this.children.splice(at < 0 ? this.children.length : at, 0, node);
  }

  /** @param {FakeElement | FakeText} node @param {FakeElement | FakeText} old */
  replaceChild(node, old) {
    this.insertBefore(node, old);
    old.remove();
  }

  /** @param {string} name @returns {FakeElement[]} in the order of the document */
  getElementsByClassName(name) {
    return this.children.flatMap((child) => {
      if (!(child instanceof FakeElement)) return [];
      const has = (child.attributes.get("class") ?? "").split(" ").includes(name);
      return [...(has ? [child] : []), ...child.getElementsByClassName(name)];
    });
  }

  /** @param {FakeNode} node */
  contains(node) {
    /** @type {FakeNode | null} */ let at = node;
    while (at && at !== this) at = at.parent;
    return at === this;
  }

  get firstElementChild() {
    return this.children.find((child) => child instanceof FakeElement) ?? null;
  }

  get textContent() {
    return this.children.map((child) => child.textContent).join("");
  }

  /** @param {(FakeElement | FakeText | string)[]} nodes */
  append(...nodes) {
    for (const given of nodes) {
      const node = typeof given === "string" ? new FakeText(given) : given;
      node.remove();
      node.parent = this;
      this.children.push(node);
    }
  }

  /** @param {(FakeElement | FakeText | string)[]} nodes */
  replaceChildren(...nodes) {
    for (const child of this.children) child.parent = null;
    this.children = [];
    this.append(...nodes);
  }

  /** @param {string} text */
  set textContent(text) {
    this.replaceChildren();
    this.append(text);
  }

  /** @returns {string} */
  html() {
    const tag = this.tagName.toLowerCase();
    const attributes = [...this.attributes].map(([name, value]) => ` ${name}="${escape(value)}"`);
    const open = `<${tag}${attributes.join("")}>`;
    return VOID.has(tag) ? open : `${open}${this.inner()}</${tag}>`;
  }

  get firstChild() {
    return this.children[0];
  }

  get lastChild() {
    return this.children[this.children.length - 1] ?? null;
  }

  inner() {
    return this.children.map((child) => child.html()).join("");
  }
}

/** Elements made since the module was loaded: what a test counts instead of time. */
export const made = { elements: 0 };

globalThis.document = /** @type {any} */ ({
  createElement(/** @type {string} */ tag) {
    made.elements += 1;
    return new FakeElement(tag);
  },
  createElementNS: (/** @type {string} */ _, /** @type {string} */ tag) => new FakeElement(tag),
  createTextNode: (/** @type {string} */ data) => new FakeText(data),
});

/** @returns {any} an element that stands for the page's container */
export const element = () => new FakeElement("div");
