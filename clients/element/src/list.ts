import { h, morph, reconcile } from './dom.js';
import type { Notification } from './feed.js';
import type { Look } from './look.js';
import { failedImages, rowOf, tick } from './row.js';
import { successorOf, Window } from './window.js';

/** The rows of a list, with their scrolling and focus. */
export class List {
  readonly element = h('ul', { part: 'list', role: 'list' });
  readonly window = new Window<Notification>();
  #scroller: HTMLElement;
  #rows = new Map<string, { item: Notification; element: HTMLElement }>();
  #look: unknown = null;
  #watchers: IntersectionObserver[];

  /** `watchers` observe each row. */
  constructor(scroller: HTMLElement, watchers: IntersectionObserver[] = []) {
    this.#scroller = scroller;
    this.#watchers = watchers;
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
    return this.#scroller.scrollTop > 4 || !!this.focused || this.#scroller.matches(':has(li:hover, [part=pill]:hover)');
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
    if (stamp !== this.#look) this.#rows.forEach((row) => (row.item = { ...row.item }));
    this.#look = stamp;
    return this.#draw(look);
  }

  /** Show what is further down or up, where there is such. */
  move(down: boolean, look: Look): boolean {
    const first = this.element.firstElementChild;
    const before = first?.getBoundingClientRect().top;
    if (!this.window.move(down)) return false;
    const anchor = down ? this.#anchor() : first;
    const top = anchor === first ? before : anchor?.getBoundingClientRect().top;
    this.#draw(look);
    // What is in sight stays where it is: not every browser sees to that.
    if (anchor?.isConnected && top !== undefined) this.#scroller.scrollTop += anchor.getBoundingClientRect().top - top;
    return true;
  }

  /** Forget everything: another list comes, or the panel was closed. */
  clear(): void {
    this.window.reset();
    this.#scroller.scrollTop = 0;
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

  #anchor(): Element | undefined {
    return this.rows[this.rows.length - 1];
  }

  #draw(look: Look): string | null {
    const focused = this.focused?.dataset.id ?? null;
    const before = this.rows.map(({ dataset }) => dataset.id!);
    const nodes = this.window.rows.map((item) => this.#row(item, look));
    const still = new Set(this.window.rows.map(({ id }) => id));
    const next = focused && !still.has(focused) ? successorOf(focused, before, still) : null;
    if (next) this.focus(this.#rows.get(next)?.element); // before it goes: focus never passes through the page
    reconcile<ChildNode>(this.element, nodes);
    for (const [id, { element }] of this.#rows) {
      if (still.has(id)) continue;
      this.#rows.delete(id);
      for (const watcher of this.#watchers) watcher.unobserve(element);
    }
    return focused && !still.has(focused) ? focused : null;
  }

  #row(item: Notification, look: Look): HTMLElement {
    const known = this.#rows.get(item.id);
    if (known?.item === item) return known.element;
    const made = rowOf(item, look);
    if (known) morph(known.element, made);
    else for (const watcher of this.#watchers) watcher.observe(made);
    const element = known?.element ?? made;
    this.#rows.set(item.id, { item, element });
    return element;
  }
}
