// How long to wait before the next attempt to connect: exponential with full jitter; knows no clock.

const BASE_SECONDS = 0.5;
const CAP_SECONDS = 15;

/** Counts attempts; the delay is uniform between 0 and the doubling bound, so that many clients spread out. */
export class Backoff {
  #attempt = 0;
  #random;

  /** @param {() => number} random uniform in [0, 1) */
  constructor(random) {
    this.#random = random;
  }

  /** Seconds to wait before the next attempt. */
  next() {
    const bound = Math.min(CAP_SECONDS, BASE_SECONDS * 2 ** this.#attempt);
    this.#attempt += 1;
    return bound * this.#random();
  }

  /** The connection has proved stable: begin again with short delays. */
  reset() {
    this.#attempt = 0;
  }
}
