import { Api } from '../../javascript/src/api.js';
import { type Environment, environment } from '../../javascript/src/environment.js';
import { BellwireError } from '../../javascript/src/errors.js';
import type { Filter } from '../../javascript/src/inbox.js';
import { LiveInbox } from '../../javascript/src/live.js';
import type { Notification } from '../../javascript/src/protocol.js';
import { Pending } from './pending.js';

export type { Filter, Notification };
export type Token = () => string | Promise<string>;
export type FeedState = 'loading' | 'connecting' | 'online' | 'reconnecting' | 'offline' | 'failed' | 'signed-out';

/**
 * What a feed tells: `change` of anything it shows, `arrived` notifications, an `error`, that a command was `rejected`,
 * `preferences`.
 */
export interface FeedEvents {
  change: null;
  arrived: Notification[];
  error: Error;
  rejected: null;
  /** The version that they have now. */
  preferences: number;
}

/**
 * The inbox of one user, shared by all elements of the page that show it: one client and, over all tabs, one
 * connection. What the user does is shown at once, and taken back if the service refuses it.
 */
export class Feed extends EventTarget {
  readonly url: string;
  readonly user: string;
  /** Where tokens come from; the latest that an element gave. */
  token: Token | null;
  /** When the feed was last known to be complete; null if it never was. */
  asOf: Date | null = null;
  #inbox: LiveInbox | null = null;
  #pending = new Pending();
  #failed = false;
  /** The service does not know the user yet: the list is empty until it does. */
  #stranger = false;
  #asking: number | undefined;
  #titles: Map<string, string> | null = null;
  #uses = 0;

  #place;

  /** `given` has what a test replaces; the browser's otherwise. */
  constructor(url: string, user: string, token: Token | null, given: Environment = {}) {
    super();
    this.#place = environment(given);
    this.url = url;
    this.user = user;
    this.token = token;
  }

  get state(): FeedState {
    const state = this.#inbox?.state ?? 'refused';
    if (this.#stranger) return 'online';
    if (state === 'refused' || state === 'closed') return 'signed-out';
    return state === 'loading' && this.#failed ? 'failed' : state;
  }

  /** The inbox of the client; null when signed out. */
  get inbox(): LiveInbox | null {
    return this.#inbox;
  }

  get unreadCount(): number {
    return this.#inbox?.unreadCount ?? 0;
  }

  get unseenCount(): number {
    return this.#inbox?.unseenCount ?? 0;
  }

  get unreadIn(): Record<string, number> {
    return this.#inbox?.unreadIn ?? {};
  }

  /** The notifications of a list, newest first, as they will be when all commands are done. */
  list(filter: Filter = {}): Notification[] {
    const all = this.#inbox?.list(filter) ?? [];
    return this.#pending.over(all).filter((item) => !item.archived_at && !item.snoozed_until && !(filter.unread && item.read_at));
  }

  hasMore(filter: Filter = {}): boolean {
    return this.state !== 'signed-out' && !this.#stranger && (this.#inbox?.hasMore(filter) ?? false);
  }

  async more(filter: Filter = {}): Promise<void> {
    await this.#inbox?.more(filter);
    this.#tell('change', null);
  }

  async refresh(): Promise<void> {
    if (this.state === 'signed-out' || this.#stranger) return this.#start();
    await this.#inbox?.refresh();
  }

  /** Take tokens from elsewhere; whoever was signed out tries again. */
  renew(token: Token | null): void {
    this.token = token;
    if (token && this.state === 'signed-out') this.#start();
  }

  /** The bell was opened: what is there is seen. */
  async seen(): Promise<void> {
    await this.#inbox?.seen().catch(() => {}); // nobody needs to know; it is said again at the next opening
  }

  read(ids: string[]): Promise<boolean> {
    return this.#do(ids, { read_at: now() }, (inbox) => inbox.markRead(ids));
  }

  unread(ids: string[]): Promise<boolean> {
    return this.#do(ids, { read_at: null }, (inbox) => inbox.markUnread(ids));
  }

  archive(ids: string[]): Promise<boolean> {
    return this.#do(ids, { archived_at: now() }, (inbox) => inbox.archive(ids));
  }

  snooze(ids: string[], until: Date): Promise<boolean> {
    return this.#do(ids, { snoozed_until: until.toISOString() }, (inbox) => inbox.snooze(ids, until));
  }

  act(id: string, action: string): Promise<boolean> {
    return this.#do([id], { acted_at: now(), action, read_at: now() }, (inbox) => inbox.act(id, action));
  }

  /** Mark all as read that the user can have seen, in one category if it is given. */
  readAll(category?: string): Promise<boolean> {
    const ids = this.list({ category, unread: true }).map(({ id }) => id);
    return this.#do(ids, { read_at: now() }, (inbox) => inbox.markAllRead({ category }));
  }

  /** The titles of categories; they are loaded when they are first asked for. */
  titles(): ReadonlyMap<string, string> {
    if (this.#titles || this.state !== 'online') return this.#titles ?? new Map();
    const titles = (this.#titles = new Map());
    this.#inbox?.preferences().then(
      ({ categories }) => {
        for (const { id, title } of categories) if (title) titles.set(id, title);
        this.#tell('change', null);
      },
      () => {}, // the ids have to do
    );
    return titles;
  }

  /** Begin to use the feed. The last to `release` it ends it. */
  use(): void {
    if (this.#uses++ === 0) this.#start();
  }

  release(): void {
    if (--this.#uses > 0) return;
    FEEDS.delete(keyOf(this.url, this.user));
    this.#place.clearTimeout(this.#asking);
    this.#inbox?.close();
  }

  #start(): void {
    const { url, user } = this;
    this.#place.clearTimeout(this.#asking);
    this.#failed = false;
    const token = () => {
      if (this.token) return this.token();
      throw new BellwireError('There is no token', { code: 'signed-out' });
    };
    const place = this.#place;
    const inbox = (this.#inbox = new LiveInbox({ api: new Api(url, token, place), place, url, user, options: { shared: true } }));
    const mine = (work: () => void) => () => this.#inbox === inbox && work();
    inbox.addEventListener('change', mine(() => {
      this.#stranger = false;
      this.#changed();
    })); // prettier-ignore
    inbox.addEventListener('state', mine(() => this.#changed()));
    inbox.addEventListener('arrived', ({ detail }) => this.#tell('arrived', detail));
    inbox.addEventListener('preferences', ({ detail }) => this.#tell('preferences', detail));
    inbox.addEventListener('error', ({ detail }) => {
      if ((detail as BellwireError).code === 'unknown-user') return this.#wait();
      this.#failed = true;
      this.#tell('error', detail);
      this.#tell('change', null);
    });
    this.#tell('change', null);
  }

  /** A user may be created by the first notification. */
  #wait(): void {
    this.#stranger = true;
    this.#asking = this.#place.setTimeout(() => this.#start(), STRANGER_MS);
    this.#tell('change', null);
  }

  #changed(): void {
    if (this.state === 'online') {
      this.asOf = new Date();
      this.#failed = false;
    }
    this.#pending.settle(() => this.#inbox?.items ?? []);
    this.#tell('change', null);
  }

  /** Show a change at once, and take it back if the command fails. Resolves with whether it was done. */
  async #do(ids: string[], set: Partial<Notification>, command: (inbox: LiveInbox) => Promise<unknown>): Promise<boolean> {
    const inbox = this.#inbox;
    if (!inbox) return false;
    const done = this.#pending.put(inbox.items.filter(({ id }) => ids.includes(id)), set);
    this.#tell('change', null);
    try {
      done(await command(inbox));
      return true;
    } catch (error) {
      done(0);
      this.#tell('error', error as Error);
      this.#tell('rejected', null);
      return false;
    } finally {
      this.#changed();
    }
  }

  #tell<T extends keyof FeedEvents>(type: T, detail: FeedEvents[T]): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** How often to ask again for a user whom the service does not know. */
const STRANGER_MS = 30_000;
const FEEDS = new Map<string, Feed>();
const keyOf = (url: string, user: string) => `${url} ${user}`;
const now = () => new Date().toISOString();

/** The feed of a user, which all elements of the page share. Call `use` on it, and `release` in the end. */
export function feedOf(url: string, user: string, token: Token | null): Feed {
  const key = keyOf(url, user);
  const feed = FEEDS.get(key) ?? new Feed(url, user, token);
  FEEDS.set(key, feed);
  if (token) feed.token = token;
  return feed;
}

/** Get tokens from an address of the application: `{"token": "…"}`, or the token as text. */
export function tokenFrom(address: string): Token {
  return async () => {
    const response = await fetch(address, { cache: 'no-store', headers: { Accept: 'application/json, text/plain' } });
    const { status } = response;
    const temporary = status >= 500 || status === 429;
    if (!response.ok) throw new BellwireError(`The token was refused with ${status}`, { code: 'signed-out', status, temporary });
    const text = (await response.text()).trim();
    return text.startsWith('{') ? JSON.parse(text).token : text;
  };
}
