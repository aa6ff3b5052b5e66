/** The column of turns, then the messages still on their way; draws only what has changed. */

import { AttachmentsView } from "./attachment.js";
import { BRAND } from "./brand.js";
import { bubbleOf } from "./bubble.js";
import { attachmentsOf, plain } from "./content.js";
import { element } from "./element.js";
import { words } from "./language.js";
import { TurnView } from "./turn.js";
import { explain } from "./words.js";

/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("../turnwire/messages.js").Content} Content */
/** @typedef {import("./outbox.js").Letter} Letter */

/**
 * @typedef {object} LetterActions
 * @property {(key: string) => void} retry send that message once more
 * @property {(key: string) => void} takeBack put that message back where it was written
 * @property {(content: Content) => void} rescue keep what was written where its place is gone
 */

/** @typedef {LetterActions & import("./turn.js").TurnActions} Actions */

export class Transcript {
  /** @type {readonly FoldedTurn[]} */
  #turns = [];
  /** @type {readonly FoldedTurn[]} The same in the order in which they are shown. */
  #arranged = [];
  /** @type {readonly Letter[]} */
  #letters = [];
  /** @type {AttachmentsView[]} of the letters */
  #attached = [];
  /** @type {Map<string, TurnView>} */
  #views = new Map();

  /**
   * @param {HTMLElement} column
   * @param {HTMLElement} earlier the way to the turns before those that are shown
   * @param {Actions} actions
   */
  constructor(column, earlier, actions) {
    this.actions = actions;
    this.turns = element("div", { class: "turns" });
    this.letters = element("div", { class: "turns letters" });
    this.notice = element("div", { class: "notice", hidden: true });
    this.gone = element("div", { class: "gone", role: "status", hidden: true });
    column.replaceChildren(this.notice, earlier, this.turns, this.letters, this.gone);
  }

  /**
   * @param {readonly FoldedTurn[]} turns
   * @param {readonly Letter[]} letters
   * @param {boolean} live whether what is new happens now
   */
  update(turns, letters, live) {
    if (turns !== this.#turns) this.#updateTurns(turns, live);
    if (letters !== this.#letters) this.#updateLetters(letters);
  }

  /** The first turn that is shown. */
  get first() {
    return this.turns.firstElementChild;
  }

  /**
   * Say that the conversation has ended, below what there is of it.
   *
   * @param {boolean} isGone
   */
  sayGone(isGone) {
    if (this.gone.hidden === !isGone) return;
    this.gone.hidden = !isGone;
    this.gone.replaceChildren(
      element("strong", {}, words.transcript.deleted),
      element("span", {}, words.transcript.lastCopy),
    );
  }

  /**
   * What to say where there are no turns: a greeting, that it loads, why it cannot be opened.
   *
   * @param {"none" | "greeting" | "loading" | { code?: string, message?: string }} what
   */
  say(what) {
    const name = typeof what === "string" ? what : `closed-${what.code}`;
    if (this.notice.dataset.name === name) return;
    this.notice.dataset.name = name;
    this.notice.hidden = what === "none";
    if (what === "greeting") {
      this.notice.replaceChildren(
        element("p", { class: "greeting" }, BRAND.greeting ?? words.transcript.greeting),
        element("p", {}, BRAND.invitation ?? words.transcript.invitation),
        element("p", { class: "demo-note" }, words.transcript.demo),
      );
    } else if (what === "loading") {
      this.notice.replaceChildren(element("p", { class: "late" }, words.transcript.loading));
    } else if (typeof what === "object") {
      const { title, remedy } = explain(what.code, what.message);
      this.notice.replaceChildren(
        element("p", { class: "greeting" }, title),
        element("p", {}, remedy),
      );
    }
  }

  /** Leave the page to another transcript. */
  close() {
    for (const view of this.#views.values()) view.remove();
    for (const view of this.#attached) view.remove();
  }

  /**
   * @param {readonly FoldedTurn[]} turns
   * @param {boolean} live
   */
  #updateTurns(turns, live) {
    const before = this.#arranged;
    this.#turns = turns;
    this.#arranged = arranged(turns, before);
    this.#arranged.forEach((turn, index) => {
      if (turn === before[index]) return;
      let view = this.#views.get(turn.turn);
      if (!view) {
        view = new TurnView(this.actions);
        this.#views.set(turn.turn, view);
      }
      view.update(turn, live);
      const place = this.turns.children[index] ?? null;
      if (place !== view.element) this.turns.insertBefore(view.element, place);
    });
    if (this.#views.size === turns.length) return;
    const kept = new Set(turns.map((turn) => turn.turn));
    for (const [id, view] of this.#views) {
      if (kept.has(id)) continue;
      const { unsent } = view.question;
      if (unsent) this.actions.rescue(unsent);
      view.remove();
      this.#views.delete(id);
    }
  }

  /** @param {readonly Letter[]} letters */
  #updateLetters(letters) {
    this.#letters = letters;
    const old = this.#attached;
    this.#attached = [];
    this.letters.replaceChildren(...letters.map((letter) => this.#letter(letter)));
    for (const view of old) view.remove();
  }

  /** @param {Letter} letter */
  #letter(letter) {
    const { key, content, options, state } = letter;
    const bubble = bubbleOf(plain(content));
    const attachments = new AttachmentsView(this.actions.files);
    attachments.update(attachmentsOf(content));
    this.#attached.push(attachments);
    const status = element("div", { class: "delivery" });
    if (state === "sending") {
      status.append(element("span", { class: "late" }, words.letter.sending));
    } else {
      const { title, remedy } = explain(letter.code, letter.message);
      const why = element("span", {}, words.letter.notSent(`${title} ${remedy}`.trim()));
      const retry = () => this.actions.retry(key);
      const takeBack = () => this.actions.takeBack(key);
      status.append(
        why,
        element("button", { type: "button", onclick: retry }, words.action.tryAgain),
        // One that was to replace a turn goes back there: the old answer stands again.
        element("button", { type: "button", onclick: takeBack }, options.retract ? words.action.cancel : words.action.edit),
      );
    }
    const parts = [attachments.element, bubble, status];
    return element("article", { class: "turn", "data-state": state }, ...parts);
  }
}

/**
 * The turns in the order in which the model sees them: as they began, then those that wait. One
 * that interrupted has begun before others that were sent earlier; of turns that are old when they
 * are first seen, only the order of their messages is known, and those that come later are older.
 *
 * @param {readonly FoldedTurn[]} turns
 * @param {readonly FoldedTurn[]} before how they were arranged until now
 */
function arranged(turns, before) {
  const begun = new Map(turns.filter(({ state }) => state !== "queued").map((turn) => [turn.turn, turn]));
  const known = before.filter(({ turn, state }) => state !== "queued" && begun.has(turn));
  const shown = new Set(before.map(({ turn }) => turn));
  // Those before the first one that was shown have been brought since.
  const older = turns.slice(0, Math.max(0, turns.findIndex(({ turn }) => shown.has(turn))));
  const order = new Set([...older, ...known].map(({ turn }) => turn).concat(...begun.keys()));
  const waiting = turns.filter(({ state }) => state === "queued");
  return [...[...order].map((id) => /** @type {FoldedTurn} */ (begun.get(id))), ...waiting];
}
