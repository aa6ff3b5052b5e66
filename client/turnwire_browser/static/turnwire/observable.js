// Something whose snapshot can be watched, in the form of React's useSyncExternalStore; knows nothing of its subject.

/** Listeners hear once per batch of changes: at the end of the task that made them, in a microtask. */
export class Observable {
  /** @type {Set<() => void>} */
  #listeners = new Set();
  #pending = false;

  /**
   * @param {() => void} listener called after changes, without arguments
   * @returns {() => void} ends it
   */
  subscribe(listener) {
    // Its own function object: the same listener given twice is two subscriptions.
    const own = () => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /**
   * What `look` gives, as soon as it is not undefined.
   * @template T
   * @param {() => T | undefined} look
   * @returns {Promise<T>}
   */
  until(look) {
    return new Promise((resolve) => {
      const again = () => {
        const found = look();
        if (found === undefined) return;
        stop();
        resolve(found);
      };
      const stop = this.subscribe(again);
      again();
    });
  }

  /** The snapshot has changed: call the listeners, once for all changes of this task. */
  notify() {
    if (this.#pending) return;
    this.#pending = true;
    queueMicrotask(() => {
      this.#pending = false;
      for (const listener of [...this.#listeners]) {
        try {
          listener();
        } catch (error) {
          // Reported as uncaught, like any event listener's error; the other listeners still hear.
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    });
  }
}
