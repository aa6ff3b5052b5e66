/** What a message or a result consists of: text, and images and documents by reference; pure. */

/** @typedef {import("../turnwire/messages.js").Content} Content */
/** @typedef {import("../turnwire/messages.js").AttachmentBlock} Attachment */

/**
 * The text of it.
 *
 * @param {Content | undefined} content
 * @returns {string}
 */
export function plain(content) {
  if (content === undefined) return "";
  if (typeof content === "string") return content;
  return content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("\n\n");
}

/**
 * The images and documents in it.
 *
 * @param {Content | undefined} content
 * @returns {Attachment[]}
 */
export function attachmentsOf(content) {
  if (content === undefined || typeof content === "string") return [];
  return content.flatMap((block) => (block.type === "text" ? [] : [block]));
}

/**
 * A message of both. The text comes last: Claude then reads it with the rest in view.
 *
 * @param {string} text
 * @param {readonly Attachment[]} attachments
 * @returns {Content}
 */
export function contentOf(text, attachments) {
  if (attachments.length === 0) return text;
  return [...attachments, ...(text ? [{ type: /** @type {const} */ ("text"), text }] : [])];
}

/**
 * What an attachment is called, in words.
 *
 * @param {Attachment} attachment
 */
export function nameOf({ type, name }) {
  return name || (type === "image" ? "Image" : "Document");
}

/**
 * A line that stands for the content: its text, else the names of what is attached.
 *
 * @param {Content | undefined} content
 */
export function headline(content) {
  return plain(content) || attachmentsOf(content).map(nameOf).join(", ");
}
