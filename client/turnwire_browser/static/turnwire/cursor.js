// Where a client stands in a log and what it does with the next event; knows no transport.

/** What a client does with an event (PROTOCOL.md "Applying events"). */
export const Verdict = Object.freeze({
  /** Seen before. */
  IGNORE: "ignore",
  /** The next one. */
  APPLY: "apply",
  /** Something is missing in between. */
  RESUBSCRIBE: "resubscribe",
});

/** (epoch, seq) of the last event a client has applied. Seq 0: none yet. */
export class Cursor {
  /** @type {string | undefined} */
  epoch;
  seq = 0;

  /**
   * What to do with `event`; the caller moves on with `advance` once it is applied.
   * @param {{seq: number, span?: number}} event
   */
  judge(event) {
    if (event.seq <= this.seq) return Verdict.IGNORE;
    return event.seq - (event.span ?? 1) === this.seq ? Verdict.APPLY : Verdict.RESUBSCRIBE;
  }

  /** @param {{seq: number}} event that has been applied */
  advance(event) {
    this.seq = event.seq;
  }
}
