/** The conversation on the screen: what it shows of its log, what it sends, what it stops. */

import { TurnwireError } from "../turnwire/turnwire.js";
import { firstAsked } from "./asking.js";
import { Consent } from "./consent.js";
import { attachmentsOf, contentOf, headline, plain } from "./content.js";
import { Earlier } from "./earlier.js";
import { oncePerFrame } from "./frame.js";
import { Held } from "./held.js";
import { words } from "./language.js";
import { Outbox } from "./outbox.js";
import { remember } from "./storage.js";
import { QUESTION } from "./tools.js";
import { Transcript } from "./transcript.js";
import { firstWords } from "./words.js";

/** @typedef {import("./composer.js").IfBusy} IfBusy */

/** @typedef {import("../turnwire/turnwire.js").Wire} Wire */
/** @typedef {import("../turnwire/turnwire.js").Conversation} Chat */
/** @typedef {import("../turnwire/fold.js").FoldedTurn} FoldedTurn */
/** @typedef {import("../turnwire/messages.js").Content} Content */
/** @typedef {import("./outbox.js").Letter} Letter */

/**
 * @typedef {object} Surroundings What a conversation shares with the rest of the page.
 * @property {HTMLElement} column
 * @property {import("./bottom.js").Bottom} bottom
 * @property {import("./composer.js").Composer} composer
 * @property {import("./announcer.js").Announcer} announcer
 * @property {(id: string) => void} named it has got its id
 * @property {import("./files.js").Files} files
 * @property {(id: string) => Promise<string>} titleOf what the service calls a conversation
 * @property {(title: string, isAsked: boolean) => void} titled what it is about, or ""; whether it waits for the user
 * @property {() => void} moved a turn has come or ended
 * @property {() => import("./outbox.js").SendOptions} chosen what the user has chosen for answers
 * @property {import("./health.js").Health} health
 * @property {import("./totals.js").TotalsView} totals
 */

/** How many earlier turns are brought at once: so few that drawing them is not felt. */
const EARLIER_TURNS = 10;

export class OpenConversation {
  /** @type {Chat} */
  #chat;
  #outbox;
  #around;
  #runner;
  #transcript;
  #earlier;
  /** @type {string | undefined} The first turn, as drawn last. */
  #first;
  /** @type {string | undefined} Of the conversation, where its first message is not here. */
  #title;
  #unsubscribe;
  /** @type {string | undefined} The turn, or the key of the message, that the user has stopped. */
  #stopping;
  /** The tools that go with a send. */
  #offered = [QUESTION];
  #consent;
  #held = new Held();
  /** Keys of messages on their way when the user stopped: they are to be held when they arrive. @type {Set<string>} */
  #holding = new Set();
  #wasLive = false;
  #isClosed = false;
  /** The last turn, and how many have not ended, as told last. */
  #count = "";
  /** Of what the totals were told last. */
  #told = "";

  /**
   * @param {Wire} wire
   * @param {string | undefined} id none: a new one
   * @param {Surroundings} around
   */
  constructor(wire, id, around) {
    this.#around = around;
    this.#chat = wire.conversation(id);
    this.#runner = wire.runner;
    this.#outbox = new Outbox(id ?? "new");
    this.#consent = new Consent(id, this.#runner, (toolId) => this.#chat.decide(toolId, "allow"), () => this.draw());
    const load = () => this.#chat.loadOlder(EARLIER_TURNS);
    this.#earlier = new Earlier(around.bottom.scroller, load);
    this.#transcript = new Transcript(around.column, this.#earlier.element, {
      regenerate: ({ turn, content = "" }) => this.#replace(turn, content),
      earlier: (turn) => {
        const asked = JSON.stringify(turn.content);
        const answered = this.#chat.replacedBy(turn.turn).filter(({ blocks }) => blocks.length > 0);
        return answered.filter(({ content }) => JSON.stringify(content) === asked);
      },
      proceed: () => this.send(words.turn.goOn, "queue"),
      edit: ({ turn }, content) => this.#replace(turn, content),
      remove: ({ turn }) => this.#cancel(this.#chat.cancel({ turn })),
      rescue: (content) => around.composer.putBack(content),
      retry: (key) => this.#post(this.#outbox.retry(key)),
      takeBack: (key) => this.#takeBack(key),
      decide: (toolId, decision, details) => this.#chat.decide(toolId, decision, details),
      answer: (toolId, content, isError) => this.#chat.toolOutput(toolId, content, { isError }),
      isAllowed: this.#consent.isAllowed,
      allowAlways: (tool, isAllowed) => this.#consent.allow(tool, isAllowed),
      runner: this.#runner,
      files: around.files,
      fetchFile: (file) => wire.downloadFile(this.#chat.id ?? "", file),
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

  /**
   * @param {Content} content
   * @param {IfBusy} ifBusy
   */
  send(content, ifBusy) {
    const retract = this.#held.from(this.#chat.getSnapshot().turns);
    // What it replaces never ran. An answer that the user has stopped may not have ended yet.
    const how = retract ? { retract, if_busy: /** @type {const} */ ("interrupt") } : { if_busy: ifBusy };
    this.#post(this.#outbox.add(content, { ...this.#around.chosen(), ...how }));
    this.#around.bottom.follow();
  }

  /**
   * Stop the answer that is being written, or the one to the message on its way. What waits behind it
   * is held: who wants silence does not want the next answer at once.
   */
  stop() {
    const turn = this.#unfinished();
    const sending = this.#outbox.letters.filter(({ state }) => state === "sending");
    this.#stopping = turn?.turn ?? sending[0]?.key;
    const { turns } = this.#chat.getSnapshot();
    // Before the running one, so that none of them begins when that ends.
    this.#hold(turns.filter(({ state, turn: id }) => state === "queued" && id !== turn?.turn));
    for (const { key } of sending) if (key !== this.#stopping) this.#holding.add(key);
    if (turn) this.#cancel(this.#chat.cancel({ turn: turn.turn }));
    this.draw();
  }

  /** The server saves again: what it refused meanwhile is sent once more. */
  resend() {
    for (const { key, state, code } of this.#outbox.letters) {
      if (state === "failed" && code === "storage_unavailable") this.#post(this.#outbox.retry(key));
    }
  }

  /**
   * Take messages back from the queue, to where the user writes.
   *
   * @param {readonly FoldedTurn[]} waiting
   */
  async #hold(waiting) {
    const outcomes = waiting.map(({ turn }) => this.#chat.cancel({ turn }).catch(() => "already_done"));
    const taken = waiting.map(async (turn, index) => ((await outcomes[index]) === "already_done" ? [] : [turn]));
    const held = (await Promise.all(taken)).flat();
    if (held.length === 0) return;
    for (const { turn } of held) this.#held.add(turn);
    const texts = held.map(({ content }) => plain(content)).filter(Boolean);
    const content = contentOf(texts.join("\n\n"), held.flatMap(({ content }) => attachmentsOf(content)));
    if (!this.#isClosed) this.#around.composer.putBack(content);
    this.#around.announcer.say(words.composer.held);
  }

  /** Leave the screen. */
  close() {
    this.#isClosed = true;
    this.#unsubscribe();
    this.#transcript.close();
    this.#earlier.close();
    if (this.id !== undefined) this.#chat.unfollow();
  }

  /**
   * Ask in place of a turn, which becomes void with all after it.
   *
   * @param {string} turn
   * @param {Content} content
   */
  #replace(turn, content) {
    this.#post(this.#outbox.add(content, { ...this.#around.chosen(), retract: turn }));
    this.#around.bottom.follow();
    this.#around.composer.focus();
  }

  /** @param {Letter | undefined} letter */
  async #post(letter) {
    if (!letter) return;
    const { key, content, options } = letter;
    this.draw();
    try {
      const turn = await this.#send(content, { ...options, key });
      this.#outbox.move(turn.conversation);
      this.#consent.move(turn.conversation);
      if (this.#stopping === key) this.#cancel(turn.cancel());
      if (this.#holding.delete(key)) this.#hold([{ turn: turn.id, state: "queued", blocks: [], content }]);
      if (!this.#isClosed) this.#around.named(turn.conversation);
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      this.#outbox.fail(key, error);
      this.#holding.delete(key);
      if (error.code === "storage_unavailable") this.#around.health.suspect();
      if (this.#stopping === key) this.#stopping = undefined;
      this.#around.announcer.say(words.letter.announced);
    }
    this.draw();
  }

  /**
   * @param {Content} content
   * @param {import("../turnwire/turnwire.js").SendOptions} options
   */
  async #send(content, options) {
    const offered = this.#offered;
    try {
      return await this.#chat.send(content, { ...options, client_tools: offered });
    } catch (error) {
      const isOffer = error instanceof TurnwireError && /^client_tools\./.test(error.message);
      if (!isOffer || offered.length === 0) throw error;
      // The server has a tool of that name: it asks in its own way.
      this.#offered = [];
      return this.#chat.send(content, options);
    }
  }

  /** @param {Promise<unknown>} outcome */
  async #cancel(outcome) {
    try {
      await outcome;
    } catch (error) {
      if (!(error instanceof TurnwireError)) throw error;
      this.#stopping = undefined;
      this.#around.announcer.say(words.letter.notStopped);
      this.draw();
    }
  }

  /** @param {string} key */
  #takeBack(key) {
    const letter = this.#outbox.letters.find((other) => other.key === key);
    this.#outbox.settle((other) => other === key);
    if (letter && !letter.options.retract) {
      this.#around.composer.putBack(letter.content);
    } else if (letter) {
      remember(`edit.${letter.options.retract}`, plain(letter.content));
    }
    this.draw();
  }

  /** @returns {FoldedTurn | undefined} */
  #unfinished() {
    const { turns } = this.#chat.getSnapshot();
    const isOf = (/** @type {FoldedTurn["state"]} */ wanted) =>
      turns.find(({ state }) => state === wanted);
    return isOf("running") ?? isOf("queued");
  }

  #draw() {
    if (this.#isClosed) return;
    const { turns: known, state, error, hasOlder = false } = this.#chat.getSnapshot();
    const { composer, announcer, bottom, titled } = this.#around;
    this.#outbox.settle((key) => known.some((turn) => turn.key === key));
    const { letters } = this.#outbox;
    const kept = withoutReplaced(known, letters);
    const turns = state === "closed" ? kept.map(freeze) : kept;
    this.#earlier.show(hasOlder && state !== "loading");
    this.#drawTurns(turns, letters);
    this.#transcript.say(noticeFor(turns.length + letters.length > 0, state, error));
    this.#transcript.sayGone(turns.length > 0 && error?.code === "unknown_conversation");
    this.#consent.decideAllowed(current(turns));
    const asking = firstAsked(current(turns), this.#runner, this.#consent.isAllowed);
    announcer.update(current(turns), this.#wasLive, asking);
    const activity = this.#activity();
    composer.show(activity, asking);
    this.#around.health.heard(activity !== "idle" && asking === undefined);
    const begin = headline(turns[0]?.content ?? letters[0]?.content);
    titled(firstWords(hasOlder ? this.#titleOfAll() : begin), asking !== undefined);
    bottom.keep();
    const count = `${known.at(-1)?.turn} ${known.filter(({ done }) => !done).length}`;
    // What was there already has been told by the list of conversations.
    if (this.#wasLive && count !== this.#count) this.#around.moved();
    const told = `${count} ${known.length} ${hasOlder}`;
    if (told !== this.#told) this.#around.totals.update(known, !hasOlder);
    this.#told = told;
    if (this.#wasLive && known.at(-1)?.error?.code === "storage_unavailable" && count !== this.#count) {
      this.#around.health.suspect();
    }
    this.#count = count;
    this.#wasLive ||= state === "live" || state === "new";
  }

  /**
   * @param {readonly FoldedTurn[]} turns
   * @param {readonly Letter[]} letters
   */
  #drawTurns(turns, letters) {
    const { first } = this.#transcript;
    const update = () => this.#transcript.update(turns, letters, this.#wasLive);
    const place = turns.findIndex(({ turn }) => turn === this.#first);
    if (place > 0 && first) {
      this.#around.bottom.hold(first, update);
      this.#earlier.moved();
    } else {
      update();
    }
    this.#first = turns[0]?.turn;
  }

  /** What it is about as a whole, as soon as that is known: its first message is not here. */
  #titleOfAll() {
    if (this.#title === undefined && this.id !== undefined) {
      this.#title = "";
      this.#around.titleOf(this.id).then(
        (title) => {
          this.#title = title;
          this.draw();
        },
        // It can be read without.
        () => {},
      );
    }
    return this.#title ?? "";
  }

  /** @returns {import("./composer.js").Activity} */
  #activity() {
    const turn = this.#chat.getSnapshot().state === "closed" ? undefined : this.#unfinished();
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
 * The turns without those that a message on its way is to replace: it looks done at once.
 *
 * @param {readonly FoldedTurn[]} turns
 * @param {readonly Letter[]} letters
 */
function withoutReplaced(turns, letters) {
  const sending = letters.filter(({ state }) => state === "sending");
  const first = turns.findIndex(({ turn }) => sending.some(({ options }) => options.retract === turn));
  return first < 0 ? turns : turns.slice(0, first);
}

/**
 * The turn as it stands when its conversation is no longer followed: nothing in it moves.
 *
 * @param {FoldedTurn} turn
 * @returns {FoldedTurn}
 */
function freeze(turn) {
  return turn.state === "done" ? turn : { ...turn, state: "done", retry: undefined };
}

/**
 * The turn to tell of: the one that runs, else the last one that did.
 *
 * @param {readonly FoldedTurn[]} turns
 */
function current(turns) {
  return (
    turns.find(({ state }) => state === "running") ??
    turns.filter(({ model }) => model !== undefined).at(-1)
  );
}

/**
 * What the transcript says where it shows nothing.
 *
 * @param {boolean} hasContent
 * @param {"new" | "loading" | "live" | "closed"} state
 * @param {{ code?: string, message?: string } | undefined} error
 */
function noticeFor(hasContent, state, error) {
  if (hasContent) return "none";
  if (state === "closed" && error) return error;
  return state === "loading" ? "loading" : "greeting";
}
