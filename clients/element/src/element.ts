import { type Feed, feedOf, type Token, tokenFrom } from './feed.js';
import { english, fill, type Plural, type Strings, stringsFor } from './strings.js';

const OWN_ORIGIN = new URL(import.meta.url).origin;

/** Give a class a property for each attribute; `token-url` is `tokenUrl`. */
export function reflect(type: { prototype: BellwireElement }, names: readonly string[]): void {
  for (const name of names) {
    const property = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
    Object.defineProperty(type.prototype, property, {
      configurable: true,
      get(this: Element) {
        return this.getAttribute(name);
      },
      set(this: Element, value: unknown) {
        if (value === null || value === undefined || value === false) this.removeAttribute(name);
        else this.setAttribute(name, String(value));
      },
    });
  }
}

export const SHARED = ['url', 'user', 'token-url', 'theme', 'locale'] as const;

// A server that renders pages may import the module, and does nothing with it.
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

function tagOf(element: BellwireElement): string {
  const tag = element.locale || element.closest('[lang]')?.getAttribute('lang') || document.documentElement.lang || navigator.language;
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? 'en';
  } catch {
    return 'en';
  }
}

/**
 * What the elements have in common: attributes, the feed, the texts, and rendering once for all changes at a time.
 * What is marked as internal is for what is loaded on demand: the package's types do not have it.
 */
export abstract class BellwireElement extends Base {
  static observedAttributes: readonly string[] = SHARED;
  declare url: string | null;
  declare user: string | null;
  declare tokenUrl: string | null;
  declare theme: string | null;
  declare locale: string | null;
  /** @internal */
  public feed: Feed | null = null;
  protected readonly root = this.attachShadow({ mode: 'open' });
  #token: Token | null = null;
  #tokenUrl: string | null = null;
  #given: Partial<Strings> = {};
  #language = english;
  #tag = 'en';
  #loaded = '';
  #stamp = {};
  #due = false;
  #listening = new AbortController();

  /** Returns a token of the user; asked at the start, and when one is about to expire. */
  get token(): Token | null {
    return this.#token;
  }

  set token(token: Token | null) {
    this.#token = token;
    if (this.feed) this.feed.renew(token);
    else this.change();
  }

  /** Texts that replace those of the language. */
  get strings(): Partial<Strings> {
    return this.#given;
  }

  set strings(strings: Partial<Strings>) {
    this.#given = strings ?? {};
    this.restyle();
  }

  /** A language tag (BCP 47): the element's, the page's, or the browser's. @internal */
  public get language(): string {
    return this.#tag;
  }

  /** A text of the element's language; bound, so that it can be handed on. @internal */
  public readonly text = (name: keyof Strings, values?: Record<string, string | number>): string => {
    const text: string | Plural = this.#given[name] ?? this.#language[name];
    return fill(text, this.language, values);
  };

  /** Show what the feed and the attributes say now. */
  protected abstract render(): void;
  /** A feed was taken: listen to it until the signal says that it is another. */
  protected follow(_feed: Feed, _listening: { signal: AbortSignal }): void {}

  connectedCallback(): void {
    this.#upgrade();
    this.change();
  }

  disconnectedCallback(): void {
    // Moved in the document, it is connected again at once.
    queueMicrotask(() => this.isConnected || this.#leave());
  }

  attributeChangedCallback(): void {
    this.change();
  }

  /** Changes when everything must be rendered again: another language, other texts. @internal */
  public get stamp(): object {
    return this.#stamp;
  }

  protected restyle(): void {
    this.#stamp = {};
    this.change();
  }

  /** @internal */
  public tell(name: string, detail: unknown, cancelable = false): boolean {
    return this.dispatchEvent(new CustomEvent(`bellwire-${name}`, { detail, bubbles: true, composed: true, cancelable }));
  }

  /** Render soon, once for all that changes until then. @internal */
  public change(): void {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (!this.isConnected) return;
      this.#settle();
      this.render();
    });
  }

  /** Properties that were set before the element was defined hide those of the class. */
  #upgrade(): void {
    for (const name of Object.keys(this) as (keyof this)[]) {
      if (!(name in Object.getPrototypeOf(this))) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
  }

  #settle(): void {
    const language = (this.#tag = tagOf(this));
    if (language !== this.#loaded) {
      this.#loaded = language;
      stringsFor(language).then(
        (strings) => {
          if (language !== this.#loaded) return;
          this.#language = strings;
          this.restyle();
        },
        () => {}, // it stays English
      );
    }
    this.#take();
  }

  /** Take the feed that the attributes say. */
  #take(): void {
    const url = this.url ? new URL(this.url, document.baseURI).href.replace(/\/+$/, '') : OWN_ORIGIN;
    const { user, feed, tokenUrl } = this;
    const same = feed?.url === url && feed.user === user;
    if (same && tokenUrl === this.#tokenUrl) return;
    this.#tokenUrl = tokenUrl;
    const token = this.#token ?? (tokenUrl ? tokenFrom(new URL(tokenUrl, document.baseURI).href) : null);
    if (same) return feed.renew(token);
    this.#leave();
    if (!user) return;
    const taken = feedOf(url, user, token);
    this.feed = taken;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    taken.addEventListener('change', () => this.change(), { signal });
    this.follow(taken, { signal });
    taken.use();
  }

  #leave(): void {
    this.#listening.abort();
    this.feed?.release();
    this.feed = null;
  }
}

reflect(BellwireElement, SHARED);
