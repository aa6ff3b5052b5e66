// The text of a code block, as it grows; it knows neither Markdown nor what is around the block.

/** A text node that only ever has something added. */
export class GrowingCode {
  #text = document.createTextNode("");
  #count = 0; // of the lines that have ended
  #rest = ""; // what is shown of the one that has not

  /** @param {HTMLElement} code */
  constructor(code) {
    code.append(this.#text);
  }

  /** @param {string[]} lines with their ends, only the last perhaps without: it will go on */
  update(lines) {
    this.grow(lines.slice(this.#count).join("").slice(this.#rest.length));
    const last = lines[lines.length - 1] ?? "\n";
    this.#count = lines.length - (last.endsWith("\n") ? 0 : 1);
    this.#rest = last.endsWith("\n") ? "" : last;
  }

  /** Whether some of an unfinished line is shown: then whatever follows in it is code too. */
  get isInLine() {
    return this.#rest !== "";
  }

  /** @param {string} text more of the unfinished line */
  grow(text) {
    if (text) this.#text.appendData(text);
    this.#rest += text;
  }
}
