import { h, morph, reconcile } from './dom.js';
import type { Notification } from './feed.js';
import type { Look } from './look.js';
import { failedImages, rowOf, tick } from './row.js';
import { successorOf, Window } from './window.js';

const ANCHORS = CSS.supports('overflow-anchor', 'auto');

/** What of a notification its row depends on; that it was seen changes all, and no row. */
const shownOf = (item: Notification) => JSON.stringify({ ...item, version: 0, seen_at: 0 });

/** The rows of a list, with their scrolling and focus. */
export class List {
  readonly element = h('ul', { part: 'list', role: 'list' });
  readonly window = new Window<Notification>();
  #scroller: HTMLElement;
  #rows = new Map<string, { item: Notification; shown: string; element: HTMLElement }>();
  #look: unknown = null;
  #watcher: IntersectionObserver | null = null;
  #scrolled = false;
  /** What of the list the pointer is over. */
  #hovered: Element | null = null;

  constructor(scroller: HTMLElement) {
    this.#scroller = scroller;
    const passive = { passive: true };
    scroller.addEventListener('scroll', () => (this.#scrolled = scroller.scrollTop > 4), passive);
    scroller.addEventListener('pointerover', ({ target }) => (this.#hovered = (target as Element).closest('li, [part=pill]')), passive);
    scroller.addEventListener('pointerleave', () => (this.#hovered = null), passive);
  }

  /** Have all rows observed, or none. */
  watch(watcher: IntersectionObserver | null): void {
    if (watcher === this.#watcher) return;
    this.#watcher?.disconnect();
    this.#watcher = watcher;
    for (const row of this.rows) watcher?.observe(row);
  }

  get rows(): HTMLElement[] {
    return [...this.element.children] as HTMLElement[];
  }

  /** The row that has the focus, or in which it is. */
  get focused(): HTMLElement | null {
    const active = (this.element.getRootNode() as ShadowRoot).activeElement;
    return this.element.contains(active) ? (active as Element).closest<HTMLElement>('li') : null;
  }

  /** Whether new rows would push away what the user looks at. */
  get held(): boolean {
    return this.#scrolled || !!this.focused || !!this.#hovered?.isConnected;
  }

  /** The notification of a row. */
  item(id: string | undefined): Notification | undefined {
    return this.#rows.get(id ?? '')?.item;
  }

  /**
   * Show a list. Returns the id of the notification that had the focus and is gone, whose focus the next has now; or
   * null. With `anew`, new ones are not held back.
   */
  show(items: Notification[], look: Look, stamp: unknown, anew: boolean): string | null {
    this.window.take(items, !anew && this.held);
    if (stamp !== this.#look) this.#rows.forEach((row) => (row.shown = ''));
    this.#look = stamp;
    return this.#draw(look);
  }

  /** Show what is further down or up, where there is such. */
  move(down: boolean, look: Look): boolean {
    const anchor = down ? this.element.lastElementChild : this.element.firstElementChild;
    // Most browsers keep what is in sight where it is, but not at the very top.
    const top = ANCHORS && this.#scrolled ? null : anchor?.getBoundingClientRect().top;
    if (!this.window.move(down)) return false;
    this.#draw(look);
    if (anchor?.isConnected && top != null) this.#scroller.scrollTop += anchor.getBoundingClientRect().top - top;
    return true;
  }

  /** Forget everything: another list comes, or the panel was closed. */
  clear(): void {
    this.window.reset();
    this.element.replaceChildren(); // else opening would lay all of them out first
    this.#scroller.scrollTop = 0;
    this.#scrolled = false;
  }

  /** Move the focus to a row. */
  focus(row: Element | null | undefined): void {
    row?.querySelector<HTMLElement>('.main')?.focus();
    row?.scrollIntoView({ block: 'nearest' });
  }

  /** Bring the times up to date. */
  tick(locale: string): void {
    tick(this.element, locale);
  }

  /** An image could not be loaded: show the initials instead. */
  failed(image: HTMLImageElement, look: Look): void {
    failedImages.add(image.getAttribute('src') ?? '');
    const row = this.#rows.get(image.closest('li')?.dataset.id ?? '');
    if (row) morph(row.element, rowOf(row.item, look));
  }

  #draw(look: Look): string | null {
    const focused = this.focused?.dataset.id ?? null;
    const before = focused ? this.rows.map(({ dataset }) => dataset.id!) : [];
    const nodes = this.window.rows.map((item) => this.#row(item, look));
    const still = new Set(this.window.rows.map(({ id }) => id));
    const next = focused && !still.has(focused) ? successorOf(focused, before, still) : null;
    if (next) this.focus(this.#rows.get(next)?.element); // before it goes: focus never passes through the page
    reconcile<ChildNode>(this.element, nodes);
    for (const [id, { element }] of this.#rows) {
      if (still.has(id)) continue;
      this.#rows.delete(id);
      this.#watcher?.unobserve(element);
    }
    return focused && !still.has(focused) ? focused : null;
  }

  #row(item: Notification, look: Look): HTMLElement {
    const known = this.#rows.get(item.id);
    if (known?.item === item && known.shown) return known.element;
    const shown = shownOf(item);
    if (known?.shown === shown) {
      known.item = item;
      return known.element;
    }
    const made = rowOf(item, look);
    if (known) morph(known.element, made);
    else this.#watcher?.observe(made);
    const element = known?.element ?? made;
    this.#rows.set(item.id, { item, shown, element });
    return element;
  }
}
