import { BellwireError } from './errors.js';
import { Following } from './following.js';
import { Inbox } from './inbox.js';
import { isAfter } from './protocol.js';

const PAGE = 20;
const MOST = 100;
const RETRY_MS = 10_000;

/** @typedef {import('./inbox.js').Filter} Filter */
/** @typedef {import('./protocol.js').Page} Page */
/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
/** @typedef {Following} Stream */

/**
 * @typedef {object} InboxOptions
 * @property {number} [limit] of a page; 20 by default
 * @property {'manual' | 'auto'} [view] as a stream's
 * @property {boolean} [shared] as a stream's
 */

/**
 * `refused`: the service does not want this user or token, and the inbox has ended.
 * @typedef {'loading' | 'connecting' | 'online' | 'reconnecting' | 'offline' | 'refused' | 'closed'} State
 */

/**
 * `change`: of the notifications or counts. `arrived`: new notifications, while connected.
 * @typedef {{change: null, state: State, arrived: import('./protocol.js').Notification[],
 *   preferences: number, error: Error}} InboxEvents
 */

/**
 * @typedef {object} InboxListening
 * @property {<T extends keyof InboxEvents>(type: T, listener: (event: CustomEvent<InboxEvents[T]>) => void,
 *   options?: boolean | AddEventListenerOptions) => void} addEventListener
 * @property {<T extends keyof InboxEvents>(type: T, listener: (event: CustomEvent<InboxEvents[T]>) => void,
 *   options?: boolean | EventListenerOptions) => void} removeEventListener
 */

const Target = /** @type {new () => InboxListening & Pick<EventTarget, 'dispatchEvent'>} */ (EventTarget);

/** A user's inbox: it loads, follows the stream, and loads again when it must. */
export class LiveInbox extends Target {
  #parts;
  #place;
  #options;
  #limit;
  #inbox = new Inbox();
  /** @type {Stream | null} */
  #stream = null;
  /** Resolves when the stream has begun. @type {Promise<Stream>} */
  #following;
  /** @type {(stream: Stream) => void} */
  #begin = () => {};
  /** @type {(error: Error) => void} */
  #fail = () => {};
  /** Lists of the events that came since a request; one for each request under way. @type {Set<StreamEvent[]>} */
  #requests = new Set();
  /** Changes with each load: pages that were requested before do not fit. */
  #life = {};
  /** @type {Promise<void> | null} */
  #loading = null;
  #loaded = false;
  /** There was a connection. */
  #met = false;
  /** The stream began at the present, without a page. */
  #blind = false;
  /** @type {State} */
  #told = 'loading';
  /** @type {'refused' | 'closed' | null} */
  #ended = null;
  /** @type {any} */
  #retry;
  #listening = new AbortController();

  /**
   * @param {object} parts
   * @param {import('./api.js').Api} parts.api
   * @param {import('./environment.js').Place} parts.place
   * @param {string} parts.url
   * @param {string} parts.user
   * @param {InboxOptions} parts.options
   */
  constructor({ options: { limit = PAGE, ...streamed }, ...parts }) {
    super();
    const { place } = parts;
    this.#parts = parts;
    this.#place = place;
    this.#options = streamed;
    this.#limit = limit;
    this.#following = new Promise((resolve, reject) => {
      this.#begin = resolve;
      this.#fail = reject;
    });
    this.#following.catch(() => {}); // callers of marks have the error
    const { signal } = this.#listening;
    for (const type of ['online', 'offline']) place.page?.addEventListener(type, () => this.#tellState(), { signal });
    this.#start();
  }

  get state() {
    if (this.#ended) return this.#ended;
    if (this.#place.navigator?.onLine === false) return 'offline';
    if (!this.#loaded) return 'loading';
    if (this.#stream?.connected) return 'online';
    return this.#met ? 'reconnecting' : 'connecting';
  }

  /** The notifications, newest first. */
  get items() {
    return this.#inbox.items;
  }

  get cursor() {
    return this.#inbox.cursor;
  }

  get unreadCount() {
    return this.#inbox.unreadCount;
  }

  get unseenCount() {
    return this.#inbox.unseenCount;
  }

  /** How many are unread in each category that has any. */
  get unreadIn() {
    return this.#inbox.unreadIn;
  }

  /**
   * The notifications of a category, or those that are unread: as far down as they are loaded.
   * @param {Filter} filter
   */
  list(filter) {
    return this.#inbox.list(filter);
  }

  /**
   * Whether a list has more notifications than those that are loaded.
   * @param {Filter} [filter]
   */
  hasMore(filter) {
    return this.#inbox.next(filter) !== null;
  }

  /**
   * Load the next page of a list. Rejects with BellwireError.
   * @param {Filter} [filter]
   * @returns {Promise<void>}
   */
  async more(filter = {}) {
    await this.#loading;
    const cursor = this.#inbox.next(filter);
    if (cursor === null) return;
    const life = this.#life;
    const { page, missed } = await this.#request(filter, this.#limit, cursor);
    if (life !== this.#life) return this.more(filter);
    this.#inbox.add(page, filter);
    this.#apply(page, missed);
  }

  /** Load again. Resolves also if that fails, after which it is tried again. */
  refresh() {
    this.#place.clearTimeout(this.#retry);
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  /** The user has opened the list: mark as seen what is in it. Does nothing if there is nothing new. */
  async seen() {
    if (this.unseenCount === 0) return 0;
    return (await this.#following).markSeen({ upTo: this.cursor });
  }

  /**
   * Resolves with how many changed, once it is stored. Rejects with BellwireError.
   * @param {import('./following.js').Marks} marks
   */
  async markRead(marks) {
    return (await this.#following).markRead(marks);
  }

  /**
   * Mark all as read that the user can have seen, in one category if it is given.
   * @param {{category?: string}} [filter]
   */
  async markAllRead({ category } = {}) {
    return this.markRead({ upTo: this.cursor, category });
  }

  /** @param {import('./following.js').Marks} marks */
  async markUnread(marks) {
    return (await this.#following).markUnread(marks);
  }

  /** @param {import('./following.js').Marks} marks */
  async archive(marks) {
    return (await this.#following).archive(marks);
  }

  /** @param {import('./following.js').Marks} marks */
  async unarchive(marks) {
    return (await this.#following).unarchive(marks);
  }

  /**
   * Choose an action without a URL.
   * @param {string} id
   * @param {string} action
   */
  async act(id, action) {
    return (await this.#following).act(id, action);
  }

  /**
   * Take notifications away until a time.
   * @param {string | Iterable<string>} ids
   * @param {Date | string} until
   */
  async snooze(ids, until) {
    return (await this.#following).snooze(ids, until);
  }

  /**
   * Bring snoozed notifications back now.
   * @param {string | Iterable<string>} ids
   */
  async unsnooze(ids) {
    return (await this.#following).unsnooze(ids);
  }

  /** The event `preferences` says when to ask again. */
  preferences() {
    return this.#parts.api.preferences(this.#parts.user);
  }

  /** @param {import('./protocol.js').Choices} choices */
  setPreferences(choices) {
    return this.#parts.api.setPreferences(this.#parts.user, choices);
  }

  close() {
    this.#end('closed', new BellwireError('The inbox was closed', { code: 'closed' }));
  }

  // --- loading ---

  async #start() {
    await this.refresh();
    if (this.#ended) return;
    this.#blind = !this.#loaded;
    const stream = new Following({ ...this.#parts, options: { ...this.#options, cursor: this.cursor } });
    this.#stream = stream;
    stream.start();
    for (const type of EVENTS) stream.addEventListener(type, ({ detail }) => this.#hear(detail));
    this.#begin(stream);
  }

  async #load() {
    try {
      const shown = Math.max(this.#limit, this.items.length);
      const { page, missed } = await this.#request({}, Math.min(shown, MOST));
      if (this.#ended) return;
      this.#life = {};
      this.#loaded = true;
      this.#inbox.load(page);
      this.#apply(page, missed);
    } catch (error) {
      this.#lack(/** @type {Error} */ (error));
    }
  }

  /** @param {Error} error */
  #lack(error) {
    if (this.#ended) return;
    this.#tell('error', error);
    if (error instanceof BellwireError && !error.temporary) return this.#end('refused', error);
    // Without a stream there is one soon, which loads when it is connected.
    if (this.#stream) this.#retry = this.#place.setTimeout(() => this.refresh(), RETRY_MS);
  }

  /**
   * Get a page, and the events that came meanwhile: it may not have them.
   * @param {Filter} filter
   * @param {number} limit
   * @param {string} [cursor]
   */
  async #request({ category, unread }, limit, cursor) {
    /** @type {StreamEvent[]} */
    const missed = [];
    this.#requests.add(missed);
    try {
      const status = unread ? 'unread' : 'all';
      const { signal } = this.#listening;
      const page = await this.#parts.api.notifications(this.#parts.user, { status, category, limit, cursor, signal });
      return { page, missed };
    } finally {
      this.#requests.delete(missed);
    }
  }

  /**
   * @param {Page} page
   * @param {StreamEvent[]} missed
   */
  #apply(page, missed) {
    const later = missed.filter((event) => 'cursor' in event && event.cursor && isAfter(event.cursor, page.cursor));
    const whole = later.map((event) => this.#inbox.apply(event)).every(Boolean);
    this.#tell('change', null);
    this.#tellState();
    // While a load is under way, `refresh` would be that one.
    if (!whole) this.#retry = this.#place.setTimeout(() => this.refresh(), 0);
  }

  // --- following ---

  /** @param {StreamEvent} event */
  #hear(event) {
    for (const missed of this.#requests) {
      if (event.type === 'reset') missed.length = 0; // what came before is of another feed
      missed.push(event);
    }
    if (event.type === 'preferences') return this.#tell('preferences', event.preferences_version);
    if (event.type === 'error') return this.#tell('error', new BellwireError(event.detail, event));
    if (event.type === 'disconnected' && event.final) {
      return this.#end('refused', new BellwireError(event.reason, { code: String(event.code ?? 'refused') }));
    }
    if (event.type === 'connected') this.#met = true;
    if (!this.#inbox.apply(event)) this.refresh();
    if (event.type === 'connected' && this.#blind) {
      this.#blind = false;
      // A page that was requested before may lack what came before the stream began.
      Promise.resolve(this.#loading).then(() => this.refresh());
    }
    this.#tellState();
    if (event.type === 'connected' || event.type === 'disconnected') return;
    this.#tell('change', null);
    if (event.type !== 'notifications' || event.replay || event.changed) return;
    this.#tell('arrived', event.items);
  }

  /**
   * @param {'refused' | 'closed'} state
   * @param {BellwireError} error
   */
  #end(state, error) {
    if (this.#ended) return;
    this.#ended = state;
    this.#listening.abort();
    this.#place.clearTimeout(this.#retry);
    this.#stream?.close();
    this.#fail(error);
    this.#tellState();
  }

  #tellState() {
    const { state } = this;
    if (state === this.#told) return;
    this.#told = state;
    this.#tell('state', state);
  }

  /**
   * @template {keyof InboxEvents} T
   * @param {T} type
   * @param {InboxEvents[T]} detail
   */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const EVENTS = /** @type {const} */ ([
  'connected',
  'disconnected',
  'notifications',
  'update',
  'replayed',
  'reset',
  'preferences',
  'error',
]);
