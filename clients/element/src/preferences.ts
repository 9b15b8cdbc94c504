import { h, morph } from './dom.js';
import { BellwireElement } from './element.js';
import type { Feed } from './feed.js';
import type { Choosing } from './choosing.js';
import { adopt, BASE } from './styles.js';

/** `<bellwire-preferences>`: which categories the user gets. How it is done is loaded when the first is used. */
export class BellwirePreferences extends BellwireElement {
  #choosing: Choosing | null = null;

  constructor() {
    super();
    adopt(this.root, BASE);
  }

  protected override follow(feed: Feed, { signal }: { signal: AbortSignal }): void {
    this.#choosing = null;
    const lent = {
      root: this.root,
      feed,
      signal,
      text: (name: Parameters<typeof this.text>[0]) => this.text(name),
      change: () => this.change(),
      fail: (error: Error) => this.tell('error', error),
      h,
      morph,
      adopt: (css: string) => adopt(this.root, BASE, css),
    };
    import('./choosing.js').then(
      ({ choosing }) => {
        if (signal.aborted) return;
        this.#choosing = choosing(lent);
        this.change();
      },
      (error) => this.tell('error', error),
    );
  }

  protected render(): void {
    if (this.feed) this.#choosing?.render();
    else this.root.replaceChildren();
  }
}
