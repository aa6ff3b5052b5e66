/** What a message or a result consists of: text, and images and documents by reference; pure. */

import { words } from "./language.js";
import { blockOf, fileIn } from "./textfile.js";

/** @typedef {import("../turnwire/messages.js").Content} Content */
/** @typedef {import("../turnwire/messages.js").AttachmentBlock} Attachment */
/** @typedef {import("./textfile.js").TextFile} TextFile */
/** @typedef {import("../turnwire/messages.js").LinkBlock} Link what is elsewhere: the page loads nothing of it */
/** @typedef {Attachment | Link | TextFile} Enclosure what is in a message besides its text */

/** @param {Enclosure | undefined} enclosure @returns {enclosure is Attachment} whether its bytes are here */
export function isStored(enclosure) {
  return enclosure !== undefined && "blob" in enclosure;
}

/**
 * The text of it.
 *
 * @param {Content | undefined} content
 * @returns {string}
 */
export function plain(content) {
  if (content === undefined) return "";
  if (typeof content === "string") return content;
  const said = content.flatMap((block) => (block.type === "text" && !fileIn(block.text) ? [block.text] : []));
  return said.join("\n\n");
}

/**
 * The images, documents and text files in it.
 *
 * @param {Content | undefined} content
 * @returns {Enclosure[]}
 */
export function attachmentsOf(content) {
  if (content === undefined || typeof content === "string") return [];
  /** @returns {Enclosure[]} */
  const enclosed = (/** @type {import("../turnwire/messages.js").ContentBlock} */ block) => {
    if (block.type !== "text") return [block];
    const file = fileIn(block.text);
    return file ? [file] : [];
  };
  return content.flatMap(enclosed);
}

/**
 * A message of both. The text comes after what is no text: Claude then reads it with the rest in view;
 * and before text files, whose first words would be the conversation's title.
 *
 * @param {string} text
 * @param {readonly Enclosure[]} enclosures
 * @returns {Content}
 */
export function contentOf(text, enclosures) {
  if (enclosures.length === 0) return text;
  const attachments = enclosures.flatMap((each) => (each.type === "text_file" ? [] : [each]));
  const files = enclosures.flatMap((each) => (each.type === "text_file" ? [blockOf(each)] : []));
  const texts = [...(text ? [text] : []), ...files];
  return [...attachments, ...texts.map((text) => ({ type: /** @type {const} */ ("text"), text }))];
}

/**
 * What an attachment is called, in words.
 *
 * @param {Enclosure} enclosure
 */
export function nameOf(enclosure) {
  const { type, name } = enclosure;
  if (name) return name;
  if ("url" in enclosure && enclosure.url) return enclosure.url;
  return type === "image" ? words.files.image : words.files.document;
}

/**
 * A line that stands for the content: its text, else the names of what is attached.
 *
 * @param {Content | undefined} content
 */
export function headline(content) {
  return plain(content) || attachmentsOf(content).map(nameOf).join(", ");
}
