import { h, morph, set, svg, write } from './dom.js';
import { snoozeMenu, toggleHelp } from './extras.js';
import type { Feed, Notification } from './feed.js';
import { ICONS } from './icons.js';
import { commandOf, type KeyCommand, placeAfter, tabAfter } from './keys.js';
import { List } from './list.js';
import type { Look } from './look.js';
import { place } from './place.js';
import { Sight } from './sight.js';
import { endOf, noticeOf, staleOf, stateOf } from './states.js';
import { type Tab, tabsOf } from './tabs.js';
import { Toasts } from './toasts.js';
import './v1.js'; // so that all that is shared is in one file with the entry (build.mjs)

/** Called instead of following a notification's link. */
export type Navigate = (item: Notification) => void;

/** What the panel needs of its element. */
export interface Host extends Look {
  readonly feed: Feed | null;
  /** Those that get a tab; null if there are no tabs. */
  readonly shelves: string | null;
  readonly modal: boolean;
  readonly viewing: boolean;
  readonly rtl: boolean;
  /** Changes when every row must be made again. */
  readonly stamp: unknown;
  readonly tell: (name: string, detail: unknown, cancelable?: boolean) => boolean;
  readonly navigate: Navigate | null;
  /** An element with the preferences of the same user. */
  readonly preferences: () => HTMLElement;
  readonly say: (text: string) => void;
  readonly close: () => void;
  readonly change: () => void;
}

export { Choices } from './choosing.js';
export { PANEL as STYLES } from './panel-styles.js';

const NOTICE_MS = 6_000;
const TICK_MS = 30_000;
const NEAR = { rootMargin: '500px 0px' };

/** What the bell opens: title, tabs and the list. */
export class Panel {
  readonly element: HTMLElement;
  readonly toasts = new Toasts();
  #host: Host;
  #foot = h('div', { part: 'footer' });
  /** The preferences, while they are shown. */
  #choosing: HTMLElement | null = null;
  #head = h('div', { part: 'header' });
  #tabs = h('div', { role: 'tablist' });
  #bar = h('div', { class: 'bars' });
  #top = h('div', { class: 'edge' });
  #pill = h('button', { part: 'pill', type: 'button', 'data-do': 'release', hidden: true });
  #state = h('div', { class: 'state' });
  #end = h('div', { class: 'edge' });
  #scroller = h('div', { class: 'scroller', role: 'tabpanel', id: 'list', tabindex: -1 });
  #sight = new Sight(this.#scroller, (ids) => this.#looked(ids));
  #near = new IntersectionObserver((entries) => this.#edges(entries), { root: this.#scroller, ...NEAR });
  #list = new List(this.#scroller);
  #tab = 'all';
  #notice = '';
  #noticed: unknown;
  /** A page is being loaded, or could not be. */
  #more: 'loading' | 'failed' | null = null;
  /** What is gone from the list now was taken away here. */
  #own = false;
  /** New ones are shown with the next drawing. */
  #anew = true;
  /** Until the panel is closed. */
  #open = new AbortController();

  /** Fills an element that is shown and hidden by others. */
  constructor(host: Host, element: HTMLElement) {
    this.#host = host;
    this.element = element;
    const slot = (name: string, ...inside: Node[]) => h('slot', { name }, ...inside);
    this.#scroller.append(this.#pill, this.#top, this.#list.element, slot('empty', this.#state), this.#end);
    element.append(this.#head, slot('header'), this.#tabs, this.#bar, this.#scroller, this.#foot);
    this.element.addEventListener('click', (event) => this.#click(event));
    this.element.addEventListener('auxclick', (event) => this.#click(event));
    this.element.addEventListener('keydown', (event) => this.#key(event));
    this.element.addEventListener('error', ({ target }) => target instanceof HTMLImageElement && this.#list.failed(target, this.#host), true);
    for (const type of ['pointerout', 'pointerleave', 'focusout']) this.#scroller.addEventListener(type, () => this.#loosen());
    this.#scroller.addEventListener('scroll', () => this.#loosen(), { passive: true });
  }

  /** Put the panel beside the bell. */
  place(bell: Element): void {
    const put = () => this.#host.modal || place(this.element, bell, this.#host.rtl);
    put();
    window.addEventListener('resize', put, this.#open);
  }

  get held(): number {
    return this.#list.window.held.length;
  }

  /** The panel was opened: show it from its top. */
  opened(): void {
    this.toasts.clear();
    this.element.classList.toggle('modal', this.#host.modal);
    this.#anew = true;
    this.#more = null;
    this.#open = new AbortController();
    const { signal } = this.#open;
    for (const type of ['focus', 'blur']) window.addEventListener(type, () => this.#restart(), { signal });
    document.addEventListener('visibilitychange', () => this.#restart(), { signal });
    const ticking = setInterval(() => this.#list.tick(this.#host.language), TICK_MS);
    signal.addEventListener('abort', () => clearInterval(ticking));
  }

  closed(): void {
    this.#swap(null);
    this.#open.abort();
    this.#list.clear();
    this.#list.watch(null);
    this.#sight.stop();
  }

  /** Show a notice for a while, and say it. */
  notice(text: string): void {
    this.#notice = text;
    clearTimeout(this.#noticed as number);
    this.#noticed = setTimeout(() => {
      this.#notice = '';
      this.#host.change();
    }, NOTICE_MS);
    this.#host.say(text);
    this.#host.change();
  }

  render(): void {
    const host = this.#host;
    const { feed, text } = host;
    const state = feed?.state ?? 'loading';
    const tab = this.#current;
    const list = state === 'signed-out' ? [] : (feed?.list(tab.filter) ?? []);
    this.#list.watch(host.viewing ? this.#sight.observer : null);
    const had = this.element.matches(':focus-within') && this.#list.focused;
    const gone = this.#list.show(list, host, host.stamp, this.#anew);
    if (gone && !this.#own) host.say(text('removed'));
    this.#own = this.#anew = false;
    this.#pill.hidden = this.held === 0;
    if (this.held) write(this.#pill, text('pill', { n: this.held }));
    morph(this.#head, this.#headNow());
    morph(this.#tabs, this.#tabsNow(tab));
    morph(this.#foot, this.#footNow());
    morph(this.#bar, h('div', { class: 'bars' }, this.#notice && noticeOf('notice', this.#notice), feed && staleOf(feed, host)));
    const more = feed?.hasMore(tab.filter) ?? true;
    morph(this.#state, stateOf(state, list.length > 0, more, tab, host));
    const { below } = this.#list.window;
    morph(this.#end, endOf(list.length > 0 && more && !below, this.#more, host));
    set(this.#scroller, 'aria-labelledby', `tab-${tab.id}`);
    if (below || more) this.#watch();
    if (had !== false && !this.element.matches(':focus-within')) this.#refocus(had);
  }

  /** What had the focus is no longer there: its row has it now, or the panel. */
  #refocus(row: HTMLElement | null): void {
    if (row?.isConnected) this.#list.focus(row);
    else this.element.focus();
  }

  get #current(): Tab {
    const tabs = this.#tabList;
    return tabs.find(({ id }) => id === this.#tab) ?? tabs[0];
  }

  get #tabList(): Tab[] {
    const { shelves, feed, text } = this.#host;
    return tabsOf(shelves, feed, text);
  }

  #headNow(): HTMLElement {
    const { text, modal, feed } = this.#host;
    const button = (name: string, icon: string, label: string, more?: string) =>
      h('button', { type: 'button', 'data-do': name, 'data-key': name, 'aria-label': more ? null : label, title: label }, svg(icon), more);
    const unread = this.#current.filter.category ? this.#current.count : feed?.unreadCount;
    return h(
      'div',
      { part: 'header' },
      this.#choosing && button('list', ICONS.back, text('title')),
      h('h2', { id: 'title' }, text(this.#choosing ? 'preferences' : 'title')),
      unread && !this.#choosing ? button('readAll', ICONS.checks, text('markAllRead'), text('markAllRead')) : null,
      modal ? button('close', ICONS.close, text('close')) : null,
    );
  }

  #tabsNow(current: Tab): HTMLElement {
    const { text } = this.#host;
    const tabs = this.#tabList.map(({ id, label, count }) => {
      const chosen = id === current.id;
      const props = { 'aria-selected': String(chosen), 'aria-controls': 'list', tabindex: chosen ? 0 : -1 };
      const number = count ? h('span', { class: 'count' }, String(count)) : null;
      return h('button', { part: 'tab', role: 'tab', type: 'button', id: `tab-${id}`, 'data-do': 'tab', ...props }, label, number && ' ', number);
    });
    return h('div', { role: 'tablist', 'aria-label': text('title'), hidden: tabs.length < 2 || !!this.#choosing }, ...tabs);
  }

  #footNow(): HTMLElement {
    const button = h('button', { type: 'button', 'data-do': 'choose' }, this.#host.text('preferences'));
    return h('div', { part: 'footer', hidden: !!this.#choosing }, h('slot', { name: 'footer' }, button));
  }

  /** Show the user's preferences in place of the list, or the list again. */
  #choose(on: boolean): void {
    this.#swap(on ? this.#host.preferences() : null);
    this.render();
    this.element.focus();
  }

  #swap(choosing: HTMLElement | null): void {
    this.#choosing?.remove();
    this.#choosing = choosing;
    this.#scroller.hidden = !!choosing;
    if (choosing) this.#foot.before(choosing);
  }

  // --- what is pressed ---

  #presses: Record<string, (button: HTMLElement) => unknown> = {
    readAll: () => this.#feed?.readAll(this.#current.filter.category),
    close: () => this.#host.close(),
    retry: () => this.#feed?.refresh(),
    signIn: () => this.#host.tell('state', 'signed-out') && this.#feed?.refresh(),
    more: () => this.#load(),
    release: () => this.#release(),
    choose: () => this.#choose(true),
    list: () => this.#choose(false),
    tab: (button) => this.#turn(button.id.slice(4)),
  };

  /** Likewise in a row. */
  #rowPresses: Record<string, (item: Notification, button: HTMLElement, event: MouseEvent) => void> = {
    open: (item, _, event) => this.#follow(item, event),
    act: (item, button) => this.#act(item, button.dataset.action!),
    follow: (item, button, event) => this.#followAction(item, button.dataset.action!, event),
    toggle: (item) => this.#toggle(item),
    archive: (item) => this.#archive(item),
    snooze: (item, button) => this.#snooze(item, button),
  };

  get #feed(): Feed | null {
    return this.#host.feed;
  }

  #click(event: MouseEvent): void {
    const button = (event.target as Element).closest<HTMLElement>('[data-do]');
    if (!button || event.button > 1) return;
    const item = this.#list.item(button.closest('li')?.dataset.id);
    if (event.button && button.localName !== 'a') return;
    const press = button.dataset.do!;
    if (item) this.#rowPresses[press]?.(item, button, event);
    else this.#presses[press]?.(button);
  }

  #follow(item: Notification, event: MouseEvent): void {
    if (!item.read_at) this.#feed?.read([item.id]);
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return; // it opens elsewhere
    const { navigate } = this.#host;
    const goes = this.#host.tell('navigate', item, true) && !navigate;
    if (goes) return;
    event.preventDefault();
    navigate?.(item);
    this.#host.close();
  }

  #act(item: Notification, action: string): void {
    if (this.#host.tell('action', { item, action }, true)) this.#feed?.act(item.id, action);
  }

  #followAction(item: Notification, action: string, event: MouseEvent): void {
    if (!item.read_at) this.#feed?.read([item.id]);
    if (!this.#host.tell('action', { item, action }, true)) event.preventDefault();
  }

  #toggle({ id, read_at }: Notification): void {
    this.#own = true;
    this.#feed?.[read_at ? 'unread' : 'read']([id]);
  }

  #archive({ id }: Notification): void {
    this.#own = true;
    this.#feed?.archive([id]);
  }

  #snooze({ id }: Notification, button: HTMLElement): void {
    snoozeMenu(button, this.#host, (until) => {
      this.#own = true;
      this.#feed?.snooze([id], until);
    });
  }

  #release(): void {
    this.#list.clear();
    this.#anew = true;
    this.render();
    this.#list.focus(this.#list.rows[0]);
    this.#feed?.seen();
  }

  #turn(id: string): void {
    if (id === this.#tab) return;
    this.#tab = id;
    this.#more = null;
    this.#list.clear();
    this.#anew = true;
    this.render();
  }

  // --- keys ---

  #key(event: KeyboardEvent): void {
    const target = event.composedPath()[0] as Element;
    if (target.matches('input, textarea, select, [contenteditable], [role=menuitem]')) return;
    const done = target.getAttribute('role') === 'tab' ? this.#tabKey(event) : false;
    const command = done || this.#choosing ? undefined : commandOf(event);
    if (done || (command && this.#command(command))) event.preventDefault();
  }

  #tabKey(event: KeyboardEvent): boolean {
    const tabs = [...this.#tabs.children];
    const current = tabs.findIndex(({ id }) => id === `tab-${this.#current.id}`);
    const place = tabAfter(event, current, tabs.length, this.#host.rtl);
    if (place === undefined) return false;
    const next = tabs[place] as HTMLElement;
    this.#turn(next.id.slice(4));
    next.focus();
    return true;
  }

  #command(command: KeyCommand): boolean {
    const { rows, focused } = this.#list;
    const item = this.#list.item(focused?.dataset.id);
    if (command === 'help') toggleHelp(this.element, this.#host);
    else if (command === 'archive' || command === 'read') {
      if (!item) return false;
      if (command === 'archive') this.#archive(item);
      else this.#toggle(item);
    } else if (rows.length) this.#list.focus(rows[placeAfter(command, focused ? rows.indexOf(focused) : -1, rows.length)]);
    return true;
  }

  // --- scrolling ---

  /** What was held back is shown when nothing is pushed away any more. */
  #loosen(): void {
    if (this.held) queueMicrotask(() => this.held && !this.#list.held && this.#host.change());
  }

  /** Ask again whether an edge is near: observers tell only of changes. */
  #watch(): void {
    for (const edge of [this.#top, this.#end]) {
      this.#near.unobserve(edge);
      this.#near.observe(edge);
    }
  }

  #edges(entries: IntersectionObserverEntry[]): void {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      const down = target === this.#end;
      if (this.#list.move(down, this.#host)) this.#watch();
      else if (down && !this.#list.window.below && this.#more !== 'failed') this.#load(); // else the user asks for it
    }
  }

  async #load(): Promise<void> {
    const { filter } = this.#current;
    const feed = this.#feed;
    if (!feed || this.#more === 'loading' || !feed.hasMore(filter) || feed.state === 'loading') return;
    this.#more = 'loading';
    try {
      await feed.more(filter);
      this.#more = null;
    } catch (error) {
      this.#more = 'failed';
      this.#host.tell('error', error);
    }
    this.#host.change();
  }

  #looked(ids: string[]): void {
    const unread = ids.filter((id) => this.#list.item(id)?.read_at === null);
    if (unread.length) this.#feed?.read(unread);
  }

  #restart(): void {
    this.#host.change(); // what came meanwhile is seen now
    this.#sight.restart();
  }
}
