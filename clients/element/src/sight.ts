import { Viewed } from './viewed.js';

/** Watches which rows a person looks at: half of one is in sight, on a page that has the focus. */
export class Sight {
  readonly observer: IntersectionObserver;
  #viewed = new Viewed();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tell: (ids: string[]) => void;

  /** Rows are in sight within `root`, and have a `data-id`. */
  constructor(root: Element, tell: (ids: string[]) => void) {
    this.#tell = tell;
    this.observer = new IntersectionObserver((entries) => this.#hear(entries), { root, threshold: 0.5 });
  }

  /** The page came into sight or left it. */
  restart(): void {
    this.#viewed.restart(performance.now());
    this.#plan();
  }

  stop(): void {
    this.#viewed.clear();
    clearTimeout(this.#timer);
  }

  #hear(entries: IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting, intersectionRatio } of entries) {
      this.#viewed.mark((target as HTMLElement).dataset.id!, isIntersecting && intersectionRatio >= 0.5, performance.now());
    }
    this.#plan();
  }

  #plan(): void {
    clearTimeout(this.#timer);
    const wait = document.hasFocus() ? this.#viewed.wait(performance.now()) : null;
    if (wait === null) return;
    this.#timer = setTimeout(() => {
      this.#tell(this.#viewed.take(performance.now()));
      this.#plan();
    }, wait);
  }
}
