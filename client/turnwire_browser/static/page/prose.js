/** Rendered Markdown on the page: what its code, tables and formulas have beside their text. */

import { render } from "../markdown/markdown.js";
import { copyButton } from "./copy.js";
import { element, icon } from "./element.js";
import { whenIdle } from "./frame.js";
import { words } from "./language.js";
import { saveAs } from "./saving.js";

/** @typedef {import("../markdown/mount.js").Dresser} Dresser */

// Longer code keeps one colour: its colours would hold up the page.
const MAX_COLOURED = 30_000;

/** @type {Record<string, string>} what files of a language end with, where that is not its name */
const ENDINGS = {
  bash: "sh", csharp: "cs", "c++": "cpp", golang: "go", javascript: "js", kotlin: "kt", markdown: "md", perl: "pl",
  plaintext: "txt", python: "py", ruby: "rb", rust: "rs", shell: "sh", text: "txt", typescript: "ts", yaml: "yml",
};

/** @type {Dresser} */
export const DRESSER = {
  dress(target, kind) {
    if (kind === "code") dressCode(target);
    else if (kind === "table") dressTable(target);
    else if (kind === "task") target.setAttribute("aria-label", target.hasAttribute("checked") ? words.prose.done : words.prose.toDo);
    else if (kind === "back") target.setAttribute("aria-label", words.prose.back);
    else if (target.tagName === "DIV") reachable(target, words.prose.formula);
  },
  complete(target, kind) {
    if (kind === "code") whenIdle(() => void colour(target));
    else if (kind === "math") whenIdle(() => void showFormula(target));
  },
};

/**
 * Show a whole text in `container`, instead of what is there.
 *
 * @param {string} text Markdown
 * @param {HTMLElement} container of the class "prose"
 */
export function showProse(text, container) {
  render(text, container, DRESSER);
}

/**
 * The bar of a code block comes last in the document; the style sheet shows it on top.
 *
 * @param {HTMLElement} pre
 */
function dressCode(pre) {
  const code = pre.querySelector("code");
  if (!code) return;
  const read = () => code.textContent ?? "";
  const language = languageOf(code);
  reachable(code, language ? words.prose.codeIn(language) : words.prose.code);
  const wrap = element(
    "button",
    { type: "button", class: "copy", "aria-label": words.prose.wrap, "aria-pressed": "false", title: words.prose.wrap },
    icon("wrap"),
  );
  wrap.addEventListener("click", () => {
    wrap.setAttribute("aria-pressed", String(pre.classList.toggle("wrapped")));
  });
  const save = element(
    "button",
    { type: "button", class: "copy", "aria-label": words.prose.download, title: words.prose.download, onclick: () => download(read(), language) },
    icon("download"),
  );
  pre.append(
    element(
      "div",
      { class: "code-bar" },
      element("span", { class: "code-language" }, language),
      wrap,
      save,
      copyButton(words.copy.code, read),
    ),
  );
}

/** @param {HTMLElement} frame around a table */
function dressTable(frame) {
  const scroller = frame.firstElementChild;
  if (!(scroller instanceof HTMLElement)) return;
  reachable(scroller, words.prose.table);
  const read = () => [...frame.querySelectorAll("tr")].map((row) => [...row.cells].map(cellText).join("\t")).join("\n");
  frame.append(element("div", { class: "table-bar" }, copyButton(words.prose.copyTable, read)));
}

/** As spreadsheets take it. @param {HTMLElement} cell */
function cellText(cell) {
  return cell.innerText.replace(/\s+/g, " ").trim();
}

/**
 * What is too wide can be moved with the keyboard, too; what is not stays out of the way.
 *
 * @param {HTMLElement} scroller
 * @param {string} label
 */
function reachable(scroller, label) {
  if (typeof ResizeObserver !== "function") return;
  new ResizeObserver(() => {
    const isWide = scroller.scrollWidth > scroller.clientWidth;
    if (isWide === scroller.hasAttribute("tabindex")) return;
    for (const [name, value] of Object.entries({ tabindex: "0", role: "group", "aria-label": label })) {
      if (isWide) scroller.setAttribute(name, value);
      else scroller.removeAttribute(name);
    }
  }).observe(scroller);
}

/** @param {HTMLElement} code */
function languageOf(code) {
  return /(?:^|\s)language-(\S+)/.exec(code.className)?.[1] ?? "";
}

/**
 * @param {string} text
 * @param {string} language
 */
function download(text, language) {
  const ending = ENDINGS[language.toLowerCase()] ?? (/^\w{1,8}$/.test(language) ? language.toLowerCase() : "txt");
  saveAs(new Blob([text], { type: "text/plain" }), `code.${ending}`);
}

/** @param {HTMLElement} pre */
async function colour(pre) {
  const code = pre.querySelector("code");
  const language = code && languageOf(code);
  const text = code?.textContent ?? "";
  if (!code || !language || text.length > MAX_COLOURED) return;
  const colours = await import("./colours.js").catch(gone);
  const nodes = colours?.coloured(text, language);
  // It may have been taken off, or replaced, meanwhile.
  if (nodes && code.textContent === text) code.replaceChildren(...nodes);
}

/** @param {HTMLElement} target shows the formula's TeX */
async function showFormula(target) {
  const tex = target.textContent ?? "";
  const formulas = await import("./formulas.js").catch(gone);
  formulas?.writeFormula(tex, target, target.classList.contains("display"));
}

/** The line is down, or another version of the page is served by now: code stays plain, and formulas TeX. */
function gone() {
  return undefined;
}
