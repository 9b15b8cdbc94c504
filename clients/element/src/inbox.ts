import { announcer, sayInside } from './announce.js';
import { h, set, svg, write } from './dom.js';
import { BellwireElement, reflect, SHARED } from './element.js';
import type { Feed, Notification } from './feed.js';
import { ICONS } from './icons.js';
import type { Navigate, Panel } from './panel.js';
import { type Icons, titleOf } from './look.js';
import { adopt, BADGE, BASE, BELL } from './styles.js';

const OWN = ['view', 'badge', 'tabs', 'categories', 'read', 'toasts', 'announce'] as const;
const NARROW = '(max-width: 480px)';
const MOST_SHOWN = 99;
/** More than this is not kept in memory while the panel is closed. */
const MOST_KEPT = 400;
const RTL = /^(ar|dv|fa|he|ps|ug|ur|yi)\b/;

/** Do something when the browser has time. */
const idle: (work: () => void) => void = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 200));

/** `<bellwire-inbox>`: a bell with a badge, which opens the user's notifications. */
export class BellwireInbox extends BellwireElement {
  static override observedAttributes = [...SHARED, ...OWN];
  declare view: string | null;
  declare badge: string | null;
  declare tabs: string | null;
  declare categories: string | null;
  declare read: string | null;
  declare toasts: string | null;
  declare announce: string | null;
  #icons: Icons = {};
  #navigate: Navigate | null = null;
  #badge = h('span', { part: 'badge', 'aria-hidden': 'true' });
  #bell = h('button', { part: 'bell', type: 'button', 'aria-haspopup': 'dialog' }, h('slot', { name: 'bell' }, svg(ICONS.bell)), this.#badge);
  #dialog = h('dialog', { part: 'panel', role: 'dialog', popover: 'auto', tabindex: -1, 'aria-labelledby': 'title' });
  #panel: Panel | null = null;
  #loading: Promise<Panel> | null = null;
  #open = false;
  /** The cursor up to which all was marked as seen last. */
  #seen: string | null | undefined;
  #counts = '';
  #state = '';

  constructor() {
    super();
    adopt(this.root, BASE, BADGE, BELL);
    this.root.append(this.#bell, this.#dialog);
    this.#bell.addEventListener('click', (event) => {
      if (this.#panel && !this.modal) return; // the browser does it
      event.preventDefault();
      this.open();
    });
    for (const type of ['pointerenter', 'focus']) this.#bell.addEventListener(type, () => this.#load().catch(() => {}));
    for (const type of ['toggle', 'close']) this.#dialog.addEventListener(type, ({ target }) => target === this.#dialog && this.#toggled());
  }

  /** Called instead of following a notification's link; for routers. */
  get navigate(): Navigate | null {
    return this.#navigate;
  }

  set navigate(navigate: Navigate | null) {
    this.#navigate = navigate;
  }

  /** Icons by the name that a notification has. */
  get icons(): Icons {
    return this.#icons;
  }

  set icons(icons: Icons) {
    this.#icons = icons ?? {};
    this.restyle();
  }

  /** Show the panel. Rejects if what it needs could not be loaded. */
  async open(): Promise<void> {
    await this.#load();
    if (this.#shown || !this.isConnected) return;
    if (this.modal) this.#dialog.showModal();
    else (this.#dialog.showPopover as (options: { source: Element }) => void)({ source: this.#bell });
    this.#toggled();
  }

  close(): void {
    if (this.#page) return;
    if (this.#dialog.open) this.#dialog.close();
    else if (this.#shown) this.#dialog.hidePopover();
  }

  async refresh(): Promise<void> {
    await this.feed?.refresh();
  }

  async markAllRead(): Promise<void> {
    await this.feed?.readAll();
  }

  // --- what happens ---

  override connectedCallback(): void {
    super.connectedCallback();
    announcer(); // its region is to be there before anything is said
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    // The browser has closed it, but says so to nobody; a dialog it leaves open.
    this.#dialog.removeAttribute('open');
    this.#toggled();
  }

  protected override follow(feed: Feed, listening: { signal: AbortSignal }): void {
    const heard = (type: string, hear: (detail: never) => void) =>
      feed.addEventListener(type, (event) => hear((event as CustomEvent<never>).detail), listening);
    heard('arrived', (items: Notification[]) => this.#arrived(items));
    heard('error', (error: Error) => this.tell('error', error));
    heard('rejected', () => this.#panel?.notice(this.text('rolledBack')));
    this.#counts = this.#state = '';
  }

  protected render(): void {
    const { feed } = this;
    const count = (this.badge === 'unread' ? feed?.unreadCount : feed?.unseenCount) ?? 0;
    write(this.#badge, count > MOST_SHOWN ? `${MOST_SHOWN}+` : String(count || ''));
    set(this.#bell, 'aria-label', count ? this.text('bell', { n: count }) : this.text('title'));
    set(this.#dialog, 'lang', this.language);
    set(this.#dialog, 'dir', this.locale && (RTL.test(this.locale) ? 'rtl' : 'ltr'));
    if (this.#page) this.#showPage();
    if (this.#open) this.#panel?.render();
    if (this.#open) this.#see();
    this.#tellChanges();
    if (feed?.state === 'online' && !this.#loading) idle(() => this.#load().catch(() => {}));
  }

  /** What the user has before the eyes is seen. */
  #see(): void {
    const { feed } = this;
    const cursor = feed?.inbox?.cursor;
    if (!feed?.unseenCount || this.#panel?.held || document.visibilityState !== 'visible' || cursor === this.#seen) return;
    this.#seen = cursor;
    feed.seen();
  }

  #tellChanges(): void {
    const { feed } = this;
    if (!feed) return;
    const { unreadCount: unread_count, unseenCount: unseen_count, unreadIn: unread_in, state } = feed;
    const counts = JSON.stringify([unread_count, unseen_count, unread_in]);
    if (feed.inbox?.cursor && counts !== this.#counts) this.tell('counts', { unread_count, unseen_count, unread_in });
    this.#counts = counts;
    const lost = feed.asOf ? 'reconnecting' : undefined; // only what was there can be lost
    const told = { online: 'online', 'signed-out': 'signed-out', offline: lost, reconnecting: lost }[state as string];
    if (told && told !== this.#state) this.tell('state', told);
    this.#state = told ?? this.#state;
  }

  // --- the panel ---

  // What the panel uses of the element, besides what all elements have.

  /** @internal */
  public say(text: string): void {
    if (this.announce !== 'off') announcer().note(text);
  }

  /** The categories that have tabs; null if there are no tabs. @internal */
  public get shelves(): string | null {
    return this.tabs === 'off' ? null : (this.categories ?? '');
  }

  /** @internal */
  public get viewing(): boolean {
    return this.read === 'viewed' && this.#open;
  }

  /** @internal */
  public get rtl(): boolean {
    return getComputedStyle(this.#dialog).direction === 'rtl';
  }

  /** @internal */
  public preferences(): HTMLElement {
    const element = document.createElement('bellwire-preferences');
    for (const name of SHARED) set(element, name, this.getAttribute(name));
    element.token = this.token;
    element.strings = this.strings;
    return element;
  }

  /** @internal */
  public get modal(): boolean {
    return !this.#page && matchMedia(NARROW).matches;
  }

  /** The list is part of the page, without a bell. */
  get #page(): boolean {
    return this.view === 'page';
  }

  async #showPage(): Promise<void> {
    if (this.#shown) return;
    await this.#load();
    if (this.#shown || !this.#page) return;
    this.#dialog.toggleAttribute('data-page', true);
    this.#dialog.toggleAttribute('open', true); // `show` would take the focus
    this.#toggled();
  }

  get #shown(): boolean {
    return this.#dialog.matches(':popover-open, [open]');
  }

  /** The panel is loaded after the bell: when it is needed, or when there is time. */
  #load(): Promise<Panel> {
    this.#loading ??= import('./panel.js').then(
      ({ Panel, STYLES }) => {
        adopt(this.root, BASE, BADGE, BELL, STYLES);
        this.#panel = new Panel(this, this.#dialog);
        this.root.append(this.#panel.toasts.element);
        this.#bell.popoverTargetElement = this.#dialog;
        return this.#panel;
      },
      (error) => {
        this.#loading = null;
        this.tell('error', error);
        throw error;
      },
    );
    return this.#loading;
  }

  #toggled(): void {
    const open = this.#shown;
    const panel = this.#panel;
    if (open === this.#open || !panel) return;
    this.#open = open;
    sayInside(this.#dialog, open && this.modal);
    if (!open) return this.#closed(panel);
    panel.opened();
    this.render();
    if (!this.#page) panel.place(this.#bell);
    if (!this.#page) this.#dialog.focus();
    this.tell('open', null);
  }

  #closed(panel: Panel): void {
    const { feed } = this;
    this.#seen = null;
    panel.closed();
    // Chromium gives the focus back only where the popover is in no shadow root.
    const { activeElement } = document;
    const lost = !activeElement || activeElement === document.body || this.#dialog.contains(this.root.activeElement);
    if (lost) this.#bell.focus({ preventScroll: true });
    if (feed && feed.list().length > MOST_KEPT) feed.refresh();
  }

  async #arrived(items: Notification[]): Promise<void> {
    this.tell('arrived', items);
    const sentence = (n: number, latest: Notification) => this.text('arrived', { n, text: titleOf(latest, this) });
    if (this.announce !== 'off') announcer().arrived(items, sentence);
    if (this.toasts !== 'polite') return;
    const panel = await this.#load();
    if (!this.#open && document.visibilityState === 'visible') panel.toasts.show(items, this, () => this.open());
  }
}

reflect(BellwireInbox, OWN);
