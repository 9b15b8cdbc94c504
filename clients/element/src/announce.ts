import type { Notification } from './feed.js';

const PAUSE_MS = 5_000;

/** A sentence for new notifications: how many, and the latest. */
export type Sentence = (count: number, latest: Notification) => string;

/** What an announcer needs: where to say, and a clock in milliseconds. */
export interface Voice {
  say(text: string): void;
  now(): number;
  later(work: () => void, milliseconds: number): unknown;
}

/** Says things to screen readers, at most one sentence each 5 s: what comes meanwhile is put together. */
export class Announcer {
  #voice;
  #arrived = new Map<string, Notification>();
  #sentence: Sentence | null = null;
  #note = '';
  #next = 0;
  #waiting = false;

  constructor(voice: Voice) {
    this.#voice = voice;
  }

  /** Several elements may tell of the same notifications. */
  arrived(items: Notification[], sentence: Sentence): void {
    for (const item of items) this.#arrived.set(item.id, item);
    this.#sentence = sentence;
    this.#soon();
  }

  /** Something that concerns what the user does now; of several, the last. */
  note(text: string): void {
    this.#note = text;
    this.#soon();
  }

  #soon(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#voice.later(() => this.#speak(), Math.max(0, this.#next - this.#voice.now()));
  }

  #speak(): void {
    this.#waiting = false;
    this.#next = this.#voice.now() + PAUSE_MS;
    if (this.#note) {
      this.#voice.say(this.#note);
      this.#note = '';
      if (this.#arrived.size) this.#soon();
      return;
    }
    const items = [...this.#arrived.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
    this.#arrived.clear();
    if (items.length) this.#voice.say(this.#sentence!(items.length, items[0]));
  }
}

type Notifier = { ariaNotify?: (text: string) => void };
const HIDDEN = 'position:fixed;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap';
const FILL_MS = 100;
let shared: Announcer | undefined;
const modals = new Set<HTMLElement>();

/** Say what is said into this element while it is modal: the rest of the page is silent then. */
export function sayInside(modal: HTMLElement, on: boolean): void {
  modals[on ? 'add' : 'delete'](modal);
}

/** The announcer of the page. Its region is in the document: in shadow roots, regions are read unreliably. */
export function announcer(): Announcer {
  if (shared) return shared;
  const region = document.createElement('div');
  const notifier = document as Notifier;
  region.dataset.bellwireAnnouncer = '';
  region.setAttribute('role', 'status');
  region.setAttribute('aria-live', notifier.ariaNotify ? 'off' : 'polite');
  region.style.cssText = HIDDEN;
  document.body.append(region);
  const say = (text: string) => {
    if (document.visibilityState === 'hidden') return; // another tab says it
    const modal = [...modals].pop() ?? [...document.querySelectorAll('dialog:modal')].pop() ?? document.body;
    if (region.parentNode !== modal) modal.append(region);
    region.textContent = '';
    // A region that has just come to its place is not watched yet.
    setTimeout(() => (region.textContent = text), FILL_MS);
    notifier.ariaNotify?.(text);
  };
  return (shared = new Announcer({ say, now: () => performance.now(), later: (work, ms) => setTimeout(work, ms) }));
}
