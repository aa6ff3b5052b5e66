/** Keeps a scrolling area at its bottom while the reader is there, and offers the way back. */

const NEAR_PIXELS = 24;
const FAR_PIXELS = 160;

export class Bottom {
  #following = true;
  #top = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} jump the button that leads back to the bottom
   */
  constructor(scroller, jump) {
    this.scroller = scroller;
    this.jump = jump;
    scroller.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    // The wheel is heard before it scrolls: else the next token would pull the reader back.
    scroller.addEventListener("wheel", (event) => this.#onWheel(event), { passive: true });
    // A panel that the reader opens must stay in sight, though it pushes the bottom away.
    scroller.addEventListener("toggle", () => this.#judge(), { capture: true });
    // An image has its height only when it is there.
    scroller.addEventListener("load", () => this.keep(), { capture: true });
    jump.addEventListener("click", () => this.follow());
    const sizes = new ResizeObserver(() => this.keep());
    sizes.observe(scroller);
    // A turn that comes into view gets its real size only then.
    for (const child of scroller.children) sizes.observe(child);
  }

  /** Go to the bottom and stay there. */
  follow() {
    this.#following = true;
    this.keep();
  }

  /** After the content has changed: stay at the bottom, if the reader is there. */
  keep() {
    if (this.#following) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#offer();
  }

  /**
   * Change what stands above an element, which stays where the reader sees it.
   *
   * @param {Element} held
   * @param {() => void} change
   */
  hold(held, change) {
    const { top } = held.getBoundingClientRect();
    change();
    if (!held.isConnected) return;
    this.scroller.scrollTop += held.getBoundingClientRect().top - top;
    this.#top = this.scroller.scrollTop;
  }

  #distance() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #onScroll() {
    const top = this.scroller.scrollTop;
    const distance = this.#distance();
    if (distance <= NEAR_PIXELS) this.#following = true;
    else if (top < this.#top - 1) this.#following = false;
    this.#top = top;
    this.#offer();
  }

  /** @param {WheelEvent} event */
  #onWheel(event) {
    if (event.deltaY < 0 && this.scroller.scrollTop > 0) this.#following = false;
  }

  #judge() {
    this.#following = this.#distance() <= NEAR_PIXELS;
    this.#offer();
  }

  #offer() {
    this.jump.hidden = this.#following || this.#distance() < FAR_PIXELS;
  }
}
