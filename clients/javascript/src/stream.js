import { Connection } from './connection.js';
import { BellwireError } from './errors.js';
import { countsOf, isBehind, newPart, preferencesOf } from './protocol.js';
import { Shared } from './shared.js';

const IDS_AT_ONCE = 100;
/** How long an answer to a request for missing events may take before the request is repeated. */
const PATIENCE_MS = 5_000;

/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */

/**
 * An id, several, or a cursor: all that is not newer than it, in one category if that is given. Null, the cursor
 * of a stream that was never connected, is nothing.
 * @typedef {string | Iterable<string> | {upTo: string | null, category?: string}} Marks
 */

/**
 * @typedef {object} StreamOptions
 * @property {string | null} [cursor] resume after this position; without it the stream starts now
 * @property {'manual' | 'auto'} [view] with 'auto', notifications that are delivered live are marked read
 * @property {boolean} [shared] one connection for all tabs of this origin that follow the same user, where the
 *   browser has Web Locks; otherwise, and by default, a connection of its own
 * @property {'session' | 'local' | Pick<Storage, 'getItem' | 'setItem'>} [storage] where to keep the cursor
 *   for the next stream of this user that is not given one
 */

/**
 * @template {StreamEvent['type']} T
 * @typedef {(event: CustomEvent<Extract<StreamEvent, {type: T}>>) => void} Hears
 */

/**
 * @typedef {object} Listening
 * @property {<T extends StreamEvent['type']>(type: T, listener: Hears<T>,
 *   options?: boolean | AddEventListenerOptions) => void} addEventListener
 * @property {<T extends StreamEvent['type']>(type: T, listener: Hears<T>,
 *   options?: boolean | EventListenerOptions) => void} removeEventListener
 */

const Target = /** @type {new () => Listening & Pick<EventTarget, 'dispatchEvent'>} */ (EventTarget);

/**
 * The changes of a user's feed, each once and in order, even if the connection breaks.
 *
 * Every event's `detail` is an object of that `type`; `for await` yields these objects, from when the loop
 * begins. A loop ends when the stream is closed, and throws BellwireError when it is refused.
 */
export class Stream extends Target {
  #parts;
  #storage;
  #key;
  #id = crypto.getRandomValues(new Uint32Array(4)).join('-');
  /** @type {Connection | Shared | null} */
  #way = null;
  #connected = false;
  #closed = false;
  /** @type {string | null} */
  #cursor;
  /** @type {import('./protocol.js').Counts} */
  #counts = { unread_count: 0, unseen_count: 0, unread_in: {} };
  /** @type {number | undefined} */
  #preferencesVersion;
  #refs = 0;
  /** @type {Map<string | null, {frame: object, answer: Answer}>} */
  #pending = new Map();
  /** @type {Set<Listener>} */
  #listeners = new Set();
  /** @type {{cursor: string, at: number} | null} */
  #asked = null;
  /** @type {BellwireError | null} */
  #refusal = null;
  #page = new AbortController();

  /**
   * @param {object} parts
   * @param {import('./api.js').Api} parts.api
   * @param {import('./environment.js').Place} parts.place
   * @param {string} parts.url
   * @param {string} parts.user
   * @param {StreamOptions} parts.options
   */
  constructor({ api, place, url, user, options }) {
    super();
    if (!place.WebSocket) throw new TypeError('There is no WebSocket here: give the client one');
    const { view = 'manual', shared = false, cursor, storage } = options;
    this.#key = `bellwire ${url} ${user} ${view}`;
    this.#parts = { api, place, user, view, shared };
    this.#storage = typeof storage === 'string' ? globalThis[`${storage}Storage`] : storage;
    this.#cursor = cursor ?? this.#storage?.getItem(this.#key) ?? null;
    const listening = { signal: this.#page.signal };
    place.page?.addEventListener('pagehide', () => this.#pause(), listening);
    place.page?.addEventListener('pageshow', () => this.#start(), listening);
    place.document?.addEventListener('visibilitychange', () => this.#visible(), listening);
    this.#start();
  }

  /** The position up to which all changes were passed on; null until connected, if none was given. */
  get cursor() {
    return this.#cursor;
  }

  /** As of the newest position that this stream knows, as the other counts. */
  get unreadCount() {
    return this.#counts.unread_count;
  }

  /** How many of the unread are unseen. */
  get unseenCount() {
    return this.#counts.unseen_count;
  }

  /** How many are unread in each category that has any. */
  get unreadIn() {
    return this.#counts.unread_in;
  }

  /** The version of the feed when the user's preferences changed last; undefined until connected. */
  get preferencesVersion() {
    return this.#preferencesVersion;
  }

  get connected() {
    return this.#connected;
  }

  get closed() {
    return this.#closed;
  }

  /**
   * Mark as read. Resolves, once stored, with how many changed. It is sent again after a lost connection, so
   * this can take as long as the service is unavailable. Rejects with BellwireError.
   * @param {Marks} marks
   */
  markRead(marks) {
    return this.#mark('read', marks);
  }

  /**
   * Mark as seen what is unread: the bell was opened.
   * @param {Marks} marks
   */
  markSeen(marks) {
    return this.#mark('seen', marks);
  }

  /** @param {Marks} marks */
  markUnread(marks) {
    return this.#mark('unread', marks);
  }

  /** @param {Marks} marks */
  archive(marks) {
    return this.#mark('archive', marks);
  }

  /** @param {Marks} marks */
  unarchive(marks) {
    return this.#mark('unarchive', marks);
  }

  /**
   * Choose an action without a URL. As `markRead`; a second, other action is refused.
   * @param {string} id
   * @param {string} action
   */
  act(id, action) {
    return this.#command({ type: 'act', id, action });
  }

  /**
   * Take notifications away until a time, when they come back as unread. As `markRead`.
   * @param {string | Iterable<string>} ids
   * @param {Date | string} until
   */
  async snooze(ids, until) {
    return this.#all(selections(ids).map((selection) => ({ type: 'snooze', ...selection, until: timeOf(until) })));
  }

  /**
   * Bring snoozed notifications back now. As `markRead`.
   * @param {string | Iterable<string>} ids
   */
  unsnooze(ids) {
    return this.#mark('unsnooze', ids);
  }

  /** End the stream. Marks that were not answered are rejected; they may have been stored. */
  close() {
    this.#finish(null);
  }

  async *[Symbol.asyncIterator]() {
    const listener = new Listener();
    if (this.#refusal) throw this.#refusal;
    if (this.#closed) return;
    this.#listeners.add(listener);
    try {
      yield* listener.events();
    } finally {
      this.#listeners.delete(listener);
    }
  }

  // --- the connection ---

  #start() {
    if (this.#closed || this.#way) return;
    const { api, place, user, view, shared } = this.#parts;
    /** @type {import('./protocol.js').Tell} */
    const hear = (told) => this.#hear(told);
    const connect = (/** @type {import('./protocol.js').Tell} */ tell) =>
      new Connection({ api, place, user, view, cursor: this.#cursor, tell });
    const { locks, BroadcastChannel } = place;
    this.#way =
      shared && locks && BroadcastChannel
        ? new Shared({ locks, channel: new BroadcastChannel(this.#key), id: this.#id, connect, tell: hear })
        : connect(hear);
    this.#way.start();
  }

  /** A page with a socket or a lock is not kept in the back/forward cache, and a kept page receives nothing. */
  #pause() {
    this.#stop();
    const reason = 'The page is hidden';
    if (!this.#closed) this.#hear({ type: 'disconnected', code: null, reason, retry_ms: null, final: false });
  }

  #visible() {
    if (this.#parts.place.document?.visibilityState === 'visible') this.#way?.hurry();
  }

  #stop() {
    this.#way?.stop();
    this.#way = null;
  }

  /** @param {BellwireError | null} refusal */
  #finish(refusal) {
    if (this.#closed) return;
    this.#closed = true;
    this.#refusal = refusal;
    this.#connected = false;
    this.#page.abort();
    this.#stop();
    const error = refusal ?? new BellwireError('The stream was closed', { code: 'closed' });
    for (const { answer } of this.#pending.values()) answer.reject(error);
    this.#pending.clear();
    for (const listener of this.#listeners) listener.end(refusal);
  }

  // --- receiving ---

  /** @param {import('./protocol.js').Told} told */
  #hear(told) {
    switch (told.type) {
      case 'connected':
        return this.#welcomed(told);
      case 'disconnected':
        return this.#lost(told);
      case 'notifications':
      case 'update':
      case 'replayed':
        return this.#changed(told);
      case 'reset':
        return this.#advance(told);
      case 'ok':
      case 'error':
        return this.#answered(told);
    }
  }

  /** @param {import('./protocol.js').Connected} connected */
  #welcomed(connected) {
    this.#connected = true;
    this.#asked = null; // it concerned another connection
    if (this.#cursor === null) this.#keep(connected.cursor);
    this.#dispatch(connected);
    this.#stand(connected);
    for (const { frame } of this.#pending.values()) this.#way?.send(frame);
    const position = /** @type {string} */ (this.#cursor);
    const knows = connected.cursor === position || isBehind(connected.cursor, position);
    if (!knows && !connected.reset) this.#ask();
  }

  /** @param {import('./protocol.js').Disconnected} disconnected */
  #lost(disconnected) {
    this.#connected = false;
    this.#dispatch(disconnected);
    if (!disconnected.final) return;
    const { code, reason } = disconnected;
    this.#finish(new BellwireError(reason, { code: String(code ?? 'refused') }));
  }

  /** @param {Exclude<import('./protocol.js').Change, import('./protocol.js').Reset>} frame */
  #changed(frame) {
    const part = newPart(this.#cursor, frame);
    if (part === 'hole') this.#ask();
    else if (part) this.#advance(part);
  }

  /** @param {import('./protocol.js').Change} frame */
  #advance(frame) {
    this.#cursor = frame.cursor;
    this.#asked = null;
    this.#dispatch(frame);
    this.#stand(frame);
    this.#keep(frame.cursor); // after the listeners have it: rather twice than never
  }

  /** @param {string} cursor */
  #keep(cursor) {
    this.#cursor = cursor;
    this.#storage?.setItem(this.#key, cursor);
  }

  /** @param {import('./protocol.js').Ok | import('./protocol.js').Refusal} frame */
  #answered(frame) {
    // No answer to a command: view=auto could not mark something.
    if (frame.type === 'error' && frame.ref === null) return this.#dispatch(frame);
    const command = this.#pending.get(frame.ref);
    if (!command) return; // another tab's
    this.#pending.delete(frame.ref);
    if (frame.type === 'ok') command.answer.resolve(frame.changed);
    else command.answer.reject(new BellwireError(frame.detail, frame));
  }

  /** Request what is missing; once, unless no answer comes. */
  #ask() {
    const cursor = /** @type {string} */ (this.#cursor);
    const at = this.#parts.place.now();
    if (this.#asked?.cursor === cursor && at - this.#asked.at < PATIENCE_MS) return;
    this.#asked = { cursor, at };
    this.#way?.rewind(cursor);
  }

  /** @param {import('./protocol.js').Connected | import('./protocol.js').Change} frame */
  #stand(frame) {
    const counts = countsOf(frame);
    const differ = JSON.stringify(counts) !== JSON.stringify(this.#counts);
    this.#counts = counts;
    if (differ) this.#dispatch({ type: 'counts', ...counts, cursor: this.#cursor });
    const known = this.#preferencesVersion;
    const preferences_version = preferencesOf(frame) ?? known;
    this.#preferencesVersion = preferences_version;
    if (known === undefined || preferences_version === undefined || known === preferences_version) return;
    this.#dispatch({ type: 'preferences', preferences_version });
  }

  /** @param {StreamEvent} detail */
  #dispatch(detail) {
    for (const listener of this.#listeners) listener.hear(detail);
    this.dispatchEvent(new CustomEvent(detail.type, { detail }));
  }

  // --- sending ---

  /**
   * @param {import('./protocol.js').Mark | 'unsnooze'} type
   * @param {Marks} marks
   * @returns {Promise<number>} how many were changed
   */
  async #mark(type, marks) {
    return this.#all(selections(marks).map((selection) => ({ type, ...selection })));
  }

  /**
   * @param {object[]} commands
   * @returns {Promise<number>}
   */
  async #all(commands) {
    const changes = commands.map((command) => this.#command(command));
    return (await Promise.all(changes)).reduce((sum, changed) => sum + changed, 0);
  }

  /**
   * @param {object} command
   * @returns {Promise<number>}
   */
  #command(command) {
    if (this.#closed) return Promise.reject(new BellwireError('The stream is closed', { code: 'closed' }));
    const ref = `${this.#id}-${++this.#refs}`;
    const frame = { ...command, ref };
    return new Promise((resolve, reject) => {
      this.#pending.set(ref, { frame, answer: { resolve, reject } });
      this.#way?.send(frame);
    });
  }
}

/** @typedef {{resolve: (changed: number) => void, reject: (error: Error) => void}} Answer */

/**
 * Split marks into what the service accepts in one command.
 * @param {Marks} marks
 * @returns {import('./protocol.js').Selection[]}
 */
export function selections(marks) {
  if (typeof marks === 'string') return [{ ids: [marks] }];
  if ('upTo' in marks) {
    const { upTo, category } = marks;
    if (upTo === null) return [];
    return [category === undefined ? { up_to: upTo } : { up_to: upTo, category }];
  }
  const ids = [...marks];
  const chunks = Array.from({ length: Math.ceil(ids.length / IDS_AT_ONCE) || 1 });
  return chunks.map((_, index) => ({ ids: ids.slice(index * IDS_AT_ONCE, (index + 1) * IDS_AT_ONCE) }));
}

/** @param {Date | string} time */
export const timeOf = (time) => (typeof time === 'string' ? time : time.toISOString());

/** A loop over the events of a stream: it queues those that it has not taken yet. */
class Listener {
  /** @type {StreamEvent[]} */
  #waiting = [];
  #wake = () => {};
  #ended = false;
  /** @type {Error | null} */
  #error = null;

  /** @param {StreamEvent} event */
  hear(event) {
    this.#waiting.push(event);
    this.#wake();
  }

  /** @param {Error | null} error */
  end(error) {
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }

  async *events() {
    while (true) {
      while (this.#waiting.length > 0) yield /** @type {StreamEvent} */ (this.#waiting.shift());
      if (this.#error) throw this.#error;
      if (this.#ended) return;
      await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
      });
    }
  }
}
