import type { Choices } from './choosing.js';
import { BellwireElement } from './element.js';
import type { Feed } from './feed.js';
import { adopt, BASE } from './styles.js';

/** `<bellwire-preferences>`: which categories the user gets. What shows them is loaded when it is first used. */
export class BellwirePreferences extends BellwireElement {
  #choices: Choices | null = null;

  constructor() {
    super();
    adopt(this.root, BASE);
  }

  protected override follow(feed: Feed, { signal }: { signal: AbortSignal }): void {
    this.#choices = null;
    import('./panel.js').then(
      ({ Choices }) => {
        if (signal.aborted) return;
        this.#choices = new Choices(this, this.root, feed, signal);
        this.change();
      },
      (error) => this.tell('error', error),
    );
  }

  protected render(): void {
    if (this.feed) this.#choices?.render();
    else this.root.replaceChildren();
  }
}
