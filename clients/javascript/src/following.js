import { Connection } from './connection.js';
import { BellwireError } from './errors.js';
import { isBehind, newPart, preferencesOf } from './protocol.js';
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
 * @typedef {object} FollowingOptions
 * @property {string | null} [cursor] resume after this position; without it the stream starts now
 * @property {'manual' | 'auto'} [view] with 'auto', notifications that are delivered live are marked read
 * @property {boolean} [shared] one connection for all tabs of this origin that follow the same user, where the
 *   browser has Web Locks; otherwise, and by default, a connection of its own
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

/** The changes of a user's feed, each once and in order, even if the connection breaks. Each event's `detail` is of that `type`. */
export class Following extends Target {
  #parts;
  #key;
  #id = crypto.getRandomValues(new Uint32Array(4)).join('-');
  /** @type {Connection | Shared | null} */
  #way = null;
  #connected = false;
  #closed = false;
  /** @type {string | null} */
  #cursor;
  /** The version of the feed when the user's preferences changed last. @protected @type {number | undefined} */
  version;
  #refs = 0;
  /** @type {Map<string | null, {frame: object, answer: Answer}>} */
  #pending = new Map();
  /** @type {{cursor: string, at: number} | null} */
  #asked = null;
  /** Aborted when it has ended, with the refusal as reason; null if it was closed. @protected */
  over = new AbortController();

  /**
   * @param {object} parts
   * @param {import('./api.js').Api} parts.api
   * @param {import('./environment.js').Place} parts.place
   * @param {string} parts.url
   * @param {string} parts.user
   * @param {FollowingOptions} parts.options
   */
  constructor({ api, place, url, user, options: { view = 'manual', shared, cursor = null } }) {
    super();
    this.#key = keyOf(url, user, view);
    this.#parts = { api, place, user, view, shared };
    this.#cursor = cursor;
    const listening = { signal: this.over.signal };
    place.page?.addEventListener('pagehide', () => this.#pause(), listening);
    place.page?.addEventListener('pageshow', () => this.start(), listening);
    place.document?.addEventListener('visibilitychange', () => this.#visible(), listening);
  }

  /** The position up to which all changes were passed on; null until connected, if none was given. */
  get cursor() {
    return this.#cursor;
  }

  get connected() {
    return this.#connected;
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

  // --- the connection ---

  /** Connect, unless it is connected or closed: streams do it themselves. */
  start() {
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
    this.#connected = false;
    this.over.abort(refusal);
    this.#stop();
    const error = refusal ?? new BellwireError('The stream was closed', { code: 'closed' });
    for (const { answer } of this.#pending.values()) answer.reject(error);
    this.#pending.clear();
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
    this.#cursor ??= connected.cursor;
    this.tell(connected);
    this.#stand(connected);
    for (const { frame } of this.#pending.values()) this.#way?.send(frame);
    const knows = connected.cursor === this.#cursor || isBehind(connected.cursor, this.#cursor);
    if (!knows && !connected.reset) this.#ask();
  }

  /** @param {import('./protocol.js').Disconnected} disconnected */
  #lost(disconnected) {
    this.#connected = false;
    this.tell(disconnected);
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
    this.tell(frame);
    this.#stand(frame);
  }

  /** @param {import('./protocol.js').Ok | import('./protocol.js').Refusal} frame */
  #answered(frame) {
    // No answer to a command: view=auto could not mark something.
    if (frame.type === 'error' && frame.ref === null) return this.tell(frame);
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
    const known = this.version;
    const preferences_version = (this.version = preferencesOf(frame) ?? known);
    if (preferences_version === undefined || known === undefined || known === preferences_version) return;
    this.tell({ type: 'preferences', preferences_version });
  }

  /** @protected @param {StreamEvent} detail */
  tell(detail) {
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

/**
 * The tabs with one key share a connection, and its cursor is kept under that.
 * @param {string} url
 * @param {string} user
 * @param {'manual' | 'auto'} view
 */
export const keyOf = (url, user, view) => `bellwire ${url} ${user} ${view}`;

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
