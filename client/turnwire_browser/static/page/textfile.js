/**
 * A text file in a message. It has no place of its own on the wire: it is a block of text with the file's
 * name and a fence around its content, which Claude, exports and other clients read as it is; pure.
 */

/**
 * @typedef {object} TextFile
 * @property {"text_file"} type
 * @property {string} name
 * @property {string} text
 */

const BLOCK = /^([^\n]{1,200}):\n\n(`{3,})[^`\n]*\n([^]*)\n\2$/;
const SUFFIX = /\.([\w+-]{1,16})$/;

/** Types that are text, besides `text/*` and what has none. */
const TEXTS = /^(?:text\/.*|application\/(?:json|ld\+json|javascript|x-.*|xml|yaml|toml|sql|rtf|graphql)|.*\+(?:json|xml))?$/;
const ARCHIVES = /x-(?:zip|tar|gzip|bzip|7z|rar|xz|msdownload|executable|iso|dosexec|apple|font|sqlite)/;

/**
 * @param {TextFile} file
 * @returns {string} the text of its block
 */
export function blockOf({ name, text }) {
  const heading = name.replace(/\s+/g, " ").trim().slice(0, 200) || "File";
  return `${heading}:\n\n${fenced(text, SUFFIX.exec(name)?.[1] ?? "")}`;
}

/**
 * Text as a block of code, in Markdown.
 *
 * @param {string} text
 * @param {string} language
 */
export function fenced(text, language) {
  const runs = text.match(/`+/g) ?? [];
  // Longer than any in it, so that none of those ends it.
  const fence = "`".repeat(Math.max(3, ...runs.map(({ length }) => length + 1)));
  return `${fence}${language}\n${text}\n${fence}`;
}

/**
 * @param {string} text of a block
 * @returns {TextFile | undefined} none: it is something else
 */
export function fileIn(text) {
  const [, name, fence, content] = BLOCK.exec(text) ?? [];
  if (name === undefined || fence === undefined || content === undefined) return undefined;
  return { type: "text_file", name, text: content };
}

/**
 * Whether a file may be text, as far as its type says.
 *
 * @param {{ type: string }} file
 */
export function mayBeText({ type }) {
  return TEXTS.test(type) && !ARCHIVES.test(type) && !type.startsWith("image/");
}

/**
 * The text of a file; undefined: it is none.
 *
 * @param {Blob} file
 */
export async function textOf(file) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}
