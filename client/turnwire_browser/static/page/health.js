/** Whether the server can save what is said: asked when something says that it cannot, or all is quiet. */

const QUIET_MILLISECONDS = 3000;
const AGAIN_MILLISECONDS = 2000;

export class Health {
  /** Whether the server has said that it cannot save. */
  isBad = false;
  #ask;
  #changed;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isAsking = false;
  #isWaiting = false;

  /**
   * @param {() => Promise<string | undefined>} ask gives the code for which the server is not ready; rejects where it cannot be asked
   * @param {() => void} changed
   */
  constructor(ask, changed) {
    this.#ask = ask;
    this.#changed = changed;
  }

  /** Something has failed for that reason. */
  suspect() {
    if (!this.isBad) void this.#look();
  }

  /**
   * Something has moved on the page.
   *
   * @param {boolean} isWaiting whether more is to come by itself: then silence is a reason to ask
   */
  heard(isWaiting) {
    this.#isWaiting = isWaiting;
    if (!this.isBad) this.#lookIn(QUIET_MILLISECONDS);
  }

  /** @param {number} milliseconds */
  #lookIn(milliseconds) {
    clearTimeout(this.#timer);
    if (this.isBad || this.#isWaiting) this.#timer = setTimeout(() => void this.#look(), milliseconds);
  }

  async #look() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    clearTimeout(this.#timer);
    // Without a connection the banner of the connection says what there is to say.
    const code = await this.#ask().catch(() => undefined);
    this.#isAsking = false;
    const wasBad = this.isBad;
    this.isBad = code === "storage_unavailable";
    this.#lookIn(this.isBad ? AGAIN_MILLISECONDS : QUIET_MILLISECONDS);
    if (wasBad !== this.isBad) this.#changed();
  }
}

/** What `GET /ready` says is wrong, if anything is. */
export async function readiness() {
  const response = await fetch(new URL("ready", document.baseURI), { cache: "no-store" });
  if (response.ok) return undefined;
  /** @type {{ code?: string }} */
  const { code } = await response.json();
  return code;
}
