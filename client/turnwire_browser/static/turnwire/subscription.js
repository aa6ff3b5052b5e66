// That the server sends us a conversation's events: asked for, confirmed, lost, refused and asked for again; knows no event.

import { Backoff } from "./backoff.js";
import { TurnwireError } from "./errors.js";

/** @import { Ack } from "./messages.js" */
/** @import { Port } from "./turnwire.js" */

const Link = Object.freeze({
  /** Nobody wants it. */
  UNFOLLOWED: "unfollowed",
  /** It is wanted, and waits for a connection or for the time to try again. */
  WAITING: "waiting",
  /** The ack of our subscribe is still to come. */
  SUBSCRIBING: "subscribing",
  SUBSCRIBED: "subscribed",
});

/** @typedef {{conversation: string | undefined, epoch: string | undefined, after: number, last: number | undefined}} Place */

/**
 * @typedef {object} Subscriber
 * @property {() => Place} place where to go on; how far the server's log went when it was asked last no longer counts
 * @property {(ack: Ack, asked: number) => void} onAck it stands; `asked` is the seq after which we asked to go on
 * @property {(error: TurnwireError) => void} onEnd it is refused for good
 */

export class Subscription {
  /** @type {(typeof Link)[keyof typeof Link]} */
  #link = Link.UNFOLLOWED;
  #port;
  #subscriber;
  #retries;
  /** Counts what was asked, so that the reply to a question that was overtaken is known. */
  #asked = 0;

  /**
   * @param {Port} port
   * @param {Subscriber} subscriber
   */
  constructor(port, subscriber) {
    this.#port = port;
    this.#subscriber = subscriber;
    this.#retries = new Backoff(port.random);
  }

  /** Whether events are to come, now or later. */
  get isWanted() {
    return this.#link !== Link.UNFOLLOWED;
  }

  /** Whether the server sends them now. */
  get stands() {
    return this.#link === Link.SUBSCRIBED;
  }

  /** From now on it is wanted. */
  want() {
    this.#link = Link.WAITING;
    this.#port.connect();
    // Not so where there can be no connection: the conversation has heard that already.
    if (this.isWanted && this.#port.isOpen()) this.ask();
  }

  /** Ask the server, from where the conversation is. */
  ask() {
    this.#link = Link.SUBSCRIBING;
    const number = ++this.#asked;
    const isCurrent = () => this.#link === Link.SUBSCRIBING && this.#asked === number;
    const place = this.#subscriber.place();
    const { id: runner } = this.#port.runner;
    this.#port.request({ type: "subscribe", ...place, runner }, {
      acked: (ack) => {
        if (!isCurrent()) return;
        this.#link = Link.SUBSCRIBED;
        this.#retries.reset();
        this.#subscriber.onAck(ack, place.after);
      },
      failed: (error) => {
        // Of a lost connection the wire tells by `onLoss`.
        if (isCurrent()) this.refuse(error);
      },
    });
  }

  /** Another command has subscribed us. */
  adopt() {
    this.#link = Link.SUBSCRIBED;
  }

  /** Tell the server that it is no longer wanted. */
  leave() {
    const { conversation } = this.#subscriber.place();
    if (this.#port.isOpen()) this.#port.post({ type: "unsubscribe", conversation });
    this.end();
  }

  /** It is no longer wanted, or cannot be had. */
  end() {
    this.#link = Link.UNFOLLOWED;
  }

  /** Commands may flow on a new connection. */
  onOpen() {
    if (this.#link === Link.WAITING) this.ask();
  }

  /** The connection is lost; another will come. */
  onLoss() {
    if (this.isWanted) this.#link = Link.WAITING;
  }

  /** The server refuses it, or ends it. @param {TurnwireError} error */
  refuse(error) {
    if (!error.retryable) return this.#subscriber.onEnd(error);
    this.#link = Link.WAITING;
    const seconds = (error.retryAfterSeconds ?? 0) + this.#retries.next();
    this.#port.timers.setTimeout(() => {
      if (this.#link === Link.WAITING && this.#port.isOpen()) this.ask();
    }, seconds * 1000);
  }
}
