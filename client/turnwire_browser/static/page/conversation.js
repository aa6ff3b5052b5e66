/** The conversation on the screen: what it shows of its log, what it sends, what it stops. */

import { TurnwireError } from "../turnwire.js";
import { oncePerFrame } from "./frame.js";
import { Outbox } from "./outbox.js";
import { Transcript } from "./transcript.js";
import { firstWords, plain } from "./words.js";

/** @typedef {import("../turnwire.js").Wire} Wire */
/** @typedef {import("../turnwire.js").Conversation} Chat */
/** @typedef {import("../fold.js").Turn} Turn */
/** @typedef {import("./outbox.js").Letter} Letter */

/**
 * @typedef {object} Surroundings What a conversation shares with the rest of the page.
 * @property {HTMLElement} column
 * @property {import("./bottom.js").Bottom} bottom
 * @property {import("./composer.js").Composer} composer
 * @property {import("./announcer.js").Announcer} announcer
 * @property {(id: string) => void} named it has got its id
 * @property {(title: string) => void} titled
 */

export class OpenConversation {
  /** @type {Chat} */
  #chat;
  #outbox;
  #around;
  #transcript;
  #unsubscribe;
  /** @type {string | undefined} The turn, or the key of the message, that the user has stopped. */
  #stopping;
  #wasLive = false;
  #isClosed = false;

  /**
   * @param {Wire} wire
   * @param {string | undefined} id none: a new one
   * @param {Surroundings} around
   */
  constructor(wire, id, around) {
    this.#around = around;
    this.#chat = wire.conversation(id);
    this.#outbox = new Outbox(id ?? "new");
    this.#transcript = new Transcript(around.column, {
      again: (text) => this.send(text),
      retry: (key) => this.#post(this.#outbox.retry(key)),
      takeBack: (key) => this.#takeBack(key),
    });
    this.draw = oncePerFrame(() => this.#draw());
    this.#unsubscribe = this.#chat.subscribe(this.draw);
    around.bottom.follow();
    this.#draw();
    // Sent before a reload, perhaps never arrived: the key makes sure it is asked once.
    for (const letter of this.#outbox.letters) if (letter.state === "sending") this.#post(letter);
  }

  /** @returns {string | undefined} */
  get id() {
    return this.#chat.id;
  }

  /** @param {string} text */
  send(text) {
    this.#post(this.#outbox.add(text));
    this.#around.bottom.follow();
  }

  /** Stop the answer that is being written, or the one to the message on its way. */
  stop() {
    const turn = this.#unfinished();
    const letter = this.#outbox.letters.find(({ state }) => state === "sending");
    this.#stopping = turn?.turn ?? letter?.key;
    if (turn) this.#cancel(this.#chat.cancel({ turn: turn.turn }));
    this.draw();
  }

  /** Leave the screen. */
  close() {
    this.#isClosed = true;
    this.#unsubscribe();
    this.#transcript.close();
    if (this.id !== undefined) this.#chat.unfollow();
  }

  /** @param {Letter | undefined} letter */
  async #post(letter) {
    if (!letter) return;
    const { key, content } = letter;
    this.draw();
    try {
      const turn = await this.#chat.send(content, { key });
      this.#outbox.move(turn.conversation);
      if (this.#stopping === key) this.#cancel(turn.cancel());
      if (!this.#isClosed) this.#around.named(turn.conversation);
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      this.#outbox.fail(key, error);
      if (this.#stopping === key) this.#stopping = undefined;
      this.#around.announcer.say("Your message was not sent");
    }
    this.draw();
  }

  /** @param {Promise<unknown>} outcome */
  async #cancel(outcome) {
    try {
      await outcome;
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      this.#stopping = undefined;
      this.#around.announcer.say("The answer could not be stopped");
      this.draw();
    }
  }

  /** @param {string} key */
  #takeBack(key) {
    const letter = this.#outbox.letters.find((other) => other.key === key);
    this.#outbox.settle((other) => other === key);
    if (letter) this.#around.composer.putBack(letter.content);
    this.draw();
  }

  /** @returns {Turn | undefined} */
  #unfinished() {
    const { turns } = this.#chat.getSnapshot();
    const isOf = (/** @type {Turn["state"]} */ wanted) =>
      turns.find(({ state }) => state === wanted);
    return isOf("running") ?? isOf("queued");
  }

  #draw() {
    if (this.#isClosed) return;
    const { turns, state, error } = this.#chat.getSnapshot();
    const { composer, announcer, bottom, titled } = this.#around;
    this.#outbox.settle((key) => turns.some((turn) => turn.key === key));
    const { letters } = this.#outbox;
    this.#transcript.update(turns, letters, this.#wasLive);
    this.#transcript.say(saying(turns.length + letters.length > 0, state, error));
    announcer.update(turns.at(-1), this.#wasLive);
    composer.show(this.#activity());
    titled(firstWords(plain(turns[0]?.content) || letters[0]?.content || ""));
    bottom.keep();
    this.#wasLive ||= state === "live" || state === "new";
  }

  /** @returns {import("./composer.js").Activity} */
  #activity() {
    const turn = this.#unfinished();
    const letter = this.#outbox.letters.find(({ state }) => state === "sending");
    const stopping = this.#stopping;
    if (!turn && !letter) {
      this.#stopping = undefined;
      return "idle";
    }
    const isStopping = [turn?.turn, turn?.key, letter?.key].includes(stopping);
    return isStopping && stopping !== undefined ? "stopping" : "answering";
  }
}

/**
 * What the transcript says where it shows nothing.
 *
 * @param {boolean} hasContent
 * @param {"new" | "loading" | "live" | "closed"} state
 * @param {{ code?: string, message?: string } | undefined} error
 */
function saying(hasContent, state, error) {
  if (hasContent) return "none";
  if (state === "closed" && error) return error;
  return state === "loading" ? "loading" : "greeting";
}
