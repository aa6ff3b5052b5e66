// Tokens of markdown-it to specifications of elements; it knows neither DOM nor streaming.
//
// An image becomes a link: fetching it would tell its server what a prompt made the model write.
// A paragraph of a tight list is one too, and its list has the class: that a list turns loose changes
// one attribute, and not what is in its items.

import { languageOf } from "./grammar.js";

/** @typedef {import("markdown-it").Token} Token */
/** @typedef {import("./mount.js").ElementSpec} ElementSpec */
/** @typedef {import("./mount.js").Kind} Kind */
/** @typedef {import("./mount.js").Spec} Spec */

const MAX_PATH = 100; // deeper elements show without their formatting
/** Attributes of a link that leads out of the page. */
export const ELSEWHERE = { rel: "noopener noreferrer", target: "_blank" };
const TABLE_FRAMES = ["table", "scroll"]; // what carries its buttons, and what moves when it is too wide
const TASK = /^\[([ xX])\][ \t\n]+(?=\S)/;

/**
 * @param {string} tag @param {Record<string, string>} [attributes] @param {Spec[]} [children]
 * @param {Kind} [kind] @param {boolean} [complete] @returns {ElementSpec}
 */
export function spec(tag, attributes = {}, children = [], kind = undefined, complete = undefined) {
  return kind ? { tag, attributes, children, kind, complete } : { tag, attributes, children };
}

/** Elements that are being filled, the innermost one last. */
class Path {
  /** @type {Spec[]} */ made = [];
  /** @type {ElementSpec[]} */ open = [spec("", {}, this.made)];

  get inner() {
    return this.open[this.open.length - 1];
  }

  /** @param {string} tag @returns {boolean} */
  isIn(tag) {
    return this.open.some((element) => element.tag === tag);
  }

  /** @param {Spec} child @param {boolean} [isShown] otherwise what is put into it goes around it */
  add(child, isShown = true) {
    const { children } = this.inner;
    const last = children.length - 1;
    if (typeof child !== "string") isShown && children.push(child);
    else if (typeof children[last] === "string") children[last] += child;
    else if (child) children.push(child);
  }

  /** @param {ElementSpec} element */
  enter(element, isShown = this.open.length < MAX_PATH) {
    this.add(element, isShown);
    this.open.push(isShown ? element : this.inner);
  }

  leave() {
    if (this.open.length > 1) this.open.pop();
  }
}

/** @param {Token} token of a definition, or of what refers to one @returns {string} */
export const labelOf = ({ meta }) => String(meta?.label);

/** @param {Token} token @param {string} name @returns {string | undefined} */
function attribute(token, name) {
  const found = token.attrGet(name);
  return found === null ? undefined : String(found);
}

/** @param {Token[]} tokens of what is inside lines @returns {Spec[]} */
export function phraseSpecs(tokens) {
  const path = new Path();
  for (const token of tokens) addPhrase(token, path);
  return path.made;
}

/** @param {Token} token @param {Path} path */
function addPhrase(token, path) {
  const { type, tag, nesting, content } = token;
  switch (type) {
    case "text": return path.add(content);
    case "softbreak": return path.add("\n");
    case "hardbreak": return path.add(spec("br"));
    case "code_inline": return path.add(spec("code", {}, [content]));
    case "math": return path.add(mathSpec(token, "span"));
    case "footnote_ref": return path.add(referenceSpec(labelOf(token)));
    case "source_ref": return path.add(spec("sup", { class: "source-ref", "data-source": content }, [content], "source", true));
    case "image": return path.add(imageSpec(token, path.isIn("a")));
    case "link_open": return path.enter(linkSpec(token, "href"), !path.isIn("a"));
    default:
      if (nesting > 0) path.enter(spec(tag));
      else if (nesting < 0) path.leave();
      else path.add(content);
  }
}

/** @param {Token} token @param {"href" | "src"} from @returns {ElementSpec} */
function linkSpec(token, from) {
  const title = attribute(token, "title");
  return spec("a", { href: attribute(token, from) ?? "", ...ELSEWHERE, ...(title ? { title } : {}) });
}

/** @param {Token} token @param {boolean} isInLink @returns {Spec} */
function imageSpec(token, isInLink) {
  const words = plain(token.children ?? []) || (attribute(token, "src") ?? "");
  return isInLink ? words : { ...linkSpec(token, "src"), children: [words] };
}

/** @param {Token[]} tokens @returns {string} */
function plain(tokens) {
  return tokens
    .map(({ type, content, children }) =>
      type === "image" ? plain(children ?? []) : /break$/.test(type) ? "\n" : content)
    .join("");
}

/** Whose number is known when all of the text is. @param {string} label @returns {ElementSpec} */
function referenceSpec(label) {
  return spec("sup", { class: "note-ref", "data-note": label }, [spec("a", { role: "doc-noteref" })]);
}

/** Its TeX, until somebody shows it as mathematics. @param {Token} token @param {string} tag */
function mathSpec({ content, block, hidden }, tag) {
  return spec(tag, { class: block ? "math display" : "math" }, [content], "math", !hidden);
}

/** @param {Token} token a fence, or indented code @param {boolean} isLast no more text will come */
function codeSpec(token, isLast) {
  const { content, map, type } = token;
  const lines = content.split("\n").length - (content.endsWith("\n") || !content ? 1 : 0);
  const language = type === "fence" ? languageOf(token) : "";
  // Of an ended fence one more line is in its map.
  const isComplete = isLast || type !== "fence" || (map !== null && map[1] - map[0] > lines + 1);
  const code = spec("code", language ? { class: `language-${language}` } : {}, [content]);
  return spec("pre", {}, [code], "code", isComplete);
}

/**
 * Blocks as elements.
 * @param {Token[]} tokens
 * @param {{read: (text: string) => Spec[], note: (label: string, note: ElementSpec) => void, isLast: boolean}} how
 *   `read` gives what is inside lines, `note` takes definitions of notes, `isLast`: no more text will come
 * @returns {Spec[]}
 */
export function blockSpecs(tokens, { read, note, isLast }) {
  const path = new Path();
  tokens.forEach((token, i) => {
    switch (token.type) {
      case "inline": return addLines(token, tokens[i - 2], path, read);
      case "fence": case "code_block": return path.add(codeSpec(token, isLast));
      case "math": return path.add(mathSpec(token, "div"));
      case "hr": return path.add(spec("hr"));
      case "details_open": return path.enter(spec("details"));
      case "details_close":
        return path.inner.tag === "details" ? path.leave() : path.add(spec("div", {}, ["</details>"]));
      case "summary_open": {
        const { tag, children } = path.inner;
        return path.enter(spec(tag === "details" && !children.length ? "summary" : "div"));
      }
      case "table_open":
        for (const name of TABLE_FRAMES) {
          path.enter(spec("div", { class: name }, [], name === "table" ? "table" : undefined));
        }
        return path.enter(spec("table"));
      case "footnote_reference_open":
        path.open.push(spec("li", { class: "note" }));
        return note(labelOf(token), path.inner);
      case "reference_definition": return;
      default:
    }
    if (token.nesting > 0) {
      path.enter(spec(token.tag, attributesOf(token)));
      if (token.hidden) markTight(path);
    } else if (token.nesting < 0) {
      while (path.inner.tag === "details") path.leave(); // it has no end
      path.leave();
      if (token.type === "table_close") TABLE_FRAMES.forEach(() => path.leave());
    }
  });
  return path.made;
}

/** @param {Path} path at a paragraph of a tight list */
function markTight({ open }) {
  const lists = open.filter(({ tag }) => tag === "ul" || tag === "ol");
  const list = lists[lists.length - 1];
  if (list) list.attributes.class = "tight";
}

/** @param {Token} token @returns {Record<string, string>} */
function attributesOf(token) {
  const start = attribute(token, "start");
  const align = /^text-align:(\w+)$/.exec(attribute(token, "style") ?? "")?.[1];
  return { ...(start === undefined ? {} : { start }), ...(align ? { align } : {}) };
}

/**
 * @param {Token} token @param {Token | undefined} outer what may be the item that begins with it
 * @param {Path} path @param {(text: string) => Spec[]} read
 */
function addLines({ content }, outer, path, read) {
  const task = outer?.type === "list_item_open" ? TASK.exec(content) : null;
  const item = path.open[path.open.length - 2];
  if (!task || !item) return path.inner.children.push(...read(content));
  item.attributes.class = "task";
  const box = spec("input", { type: "checkbox", disabled: "" }, [], "task");
  if (task[1] !== " ") box.attributes.checked = "";
  path.inner.children.push(box, " ", ...read(content.slice(task[0].length)));
}
