/** How many rows are kept in the document at most: each costs time whenever rows come or go. */
export const MOST_ROWS = 100;
/** With how many a list begins, so that it is there quickly. More come as soon as their place is near. */
export const FIRST_ROWS = 20;
/** How many come and go at once: few, so that no frame has much to do. */
const STEP = 8;

type Item = { id: string };

/**
 * Which notifications of a list are shown: new ones are held back while they would push away what the user looks at,
 * and of a long list only a part has rows.
 */
export class Window<I extends Item> {
  /** Held back; the newest first. */
  held: I[] = [];
  /** Those with a row. */
  rows: I[] = [];
  /** Whether there are notifications above or below those with a row. */
  above = false;
  below = false;
  #known: Set<string> | null = null;
  /** The first row, when it is not the first notification. */
  #from: string | null = null;
  #items: I[] = [];
  #most = FIRST_ROWS;

  /** Take a list, newest first. With `hold`, notifications that come before all known ones are held back. */
  take(list: I[], hold: boolean): void {
    const known = this.#known;
    const first = hold && known?.size ? list.findIndex(({ id }) => known.has(id)) : 0;
    this.held = list.slice(0, Math.max(0, first));
    this.#items = list.slice(this.held.length);
    this.#known = new Set(this.#items.map(({ id }) => id));
    this.#cut();
  }

  /** Forget what is known: another list comes. */
  reset(): void {
    this.#known = this.#from = null;
    this.#most = FIRST_ROWS;
  }

  /** Show what is further down (or up). Returns whether there was anything. */
  move(down: boolean): boolean {
    if (!(down ? this.below : this.above)) return false;
    const start = this.#start();
    const grown = down ? Math.min(STEP, MOST_ROWS - this.#most) : 0;
    this.#most += grown;
    const last = Math.max(0, this.#items.length - this.#most);
    const next = down ? Math.min(last, start + STEP - grown) : Math.max(0, start - STEP);
    this.#from = next ? this.#items[next].id : null;
    this.#cut();
    return true;
  }

  #start(): number {
    const from = this.#from;
    if (from === null) return 0;
    const found = this.#items.findIndex(({ id }) => id === from);
    if (found >= 0) return found;
    // It is gone: the next of the rows that is still there.
    const there = new Map(this.#items.map(({ id }, index) => [id, index]));
    return there.get(this.rows.find(({ id }) => there.has(id))?.id ?? '') ?? 0;
  }

  #cut(): void {
    const start = this.#start();
    this.#from = start ? this.#items[start].id : null;
    this.rows = this.#items.slice(start, start + this.#most);
    this.above = start > 0;
    this.below = start + this.rows.length < this.#items.length;
  }
}

/** The row to go to when one is taken away: the next in the order of before that is still there, else the one before. */
export function successorOf(id: string, before: string[], still: Set<string>): string | null {
  const place = before.indexOf(id);
  const after = before.slice(place + 1).find((one) => still.has(one));
  return after ?? before.slice(0, Math.max(0, place)).reverse().find((one) => still.has(one)) ?? null;
}
