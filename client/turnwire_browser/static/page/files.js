/** The bytes behind attachments, as addresses an element can show; fetched once, freed when unused. */

/** @typedef {import("./content.js").Attachment} Attachment */

/** @typedef {(attachment: Attachment) => Promise<Blob>} Download */

/**
 * How long what nobody shows is kept: a message moves from the composer to the outbox to the
 * transcript, and none of them waits for the next.
 */
const LINGER_MILLISECONDS = 10_000;

export class Files {
  #download;
  /** @type {Map<string, { users: number, url: Promise<string> }>} by blob */
  #open = new Map();

  /** @param {Download} download */
  constructor(download) {
    this.#download = download;
  }

  /**
   * Its address, until `close`.
   *
   * @param {Attachment} attachment
   * @param {Blob} [bytes] where they are at hand
   * @returns {Promise<string>} rejects with TurnwireError; the next `open` tries again
   */
  open(attachment, bytes) {
    const known = this.#open.get(attachment.blob);
    if (known) {
      known.users += 1;
      return known.url;
    }
    const blob = bytes ? Promise.resolve(bytes) : this.#download(attachment);
    const url = blob.then((bytes) => URL.createObjectURL(bytes));
    this.#open.set(attachment.blob, { users: 1, url });
    url.catch(() => this.#open.delete(attachment.blob));
    return url;
  }

  /** @param {Attachment} attachment that was opened */
  close({ blob }) {
    const known = this.#open.get(blob);
    if (!known) return;
    known.users -= 1;
    if (known.users > 0) return;
    setTimeout(() => {
      if (known.users > 0 || this.#open.get(blob) !== known) return;
      this.#open.delete(blob);
      known.url.then((url) => URL.revokeObjectURL(url), () => {});
    }, LINGER_MILLISECONDS);
  }
}
