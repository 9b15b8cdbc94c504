import { Following, keyOf } from './following.js';
import { countsOf } from './protocol.js';

/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
/** @typedef {import('./following.js').Marks} Marks */

/**
 * @typedef {import('./following.js').FollowingOptions & {
 *   storage?: 'session' | 'local' | Pick<Storage, 'getItem' | 'setItem'>,
 * }} StreamOptions `storage` is where to keep the cursor for the next stream of this user that is not given one
 */

/**
 * The changes of a user's feed, each once and in order, even if the connection breaks.
 *
 * Every event's `detail` is an object of that `type`; `for await` yields these objects, from when the loop
 * begins. A loop ends when the stream is closed, and throws BellwireError when it is refused.
 */
export class Stream extends Following {
  #storage;
  #key;
  /** @type {import('./protocol.js').Counts} */
  #counts = { unread_count: 0, unseen_count: 0, unread_in: {} };
  /** @type {Set<Listener>} */
  #listeners = new Set();

  /** @param {ConstructorParameters<typeof Following>[0] & {options: StreamOptions}} parts */
  constructor(parts) {
    const { url, user, options } = parts;
    const key = keyOf(url, user, options.view ?? 'manual');
    const storage = typeof options.storage === 'string' ? globalThis[`${options.storage}Storage`] : options.storage;
    super({ ...parts, options: { ...options, cursor: options.cursor ?? storage?.getItem(key) } });
    this.#key = key;
    this.#storage = storage;
    this.over.signal.addEventListener('abort', () => {
      for (const listener of this.#listeners) listener.end(this.over.signal.reason);
    });
    this.start();
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
    return this.version;
  }

  get closed() {
    return this.over.signal.aborted;
  }

  async *[Symbol.asyncIterator]() {
    const listener = new Listener();
    const { aborted, reason } = this.over.signal;
    if (reason) throw reason;
    if (aborted) return;
    this.#listeners.add(listener);
    try {
      yield* listener.events();
    } finally {
      this.#listeners.delete(listener);
    }
  }

  /** @protected @param {StreamEvent} event */
  tell(event) {
    for (const listener of this.#listeners) listener.hear(event);
    super.tell(event);
    // After the listeners have it: rather twice than never.
    if (this.cursor !== null) this.#storage?.setItem(this.#key, this.cursor);
    if ('unread_count' in event) this.#stand(countsOf(event));
  }

  /** @param {import('./protocol.js').Counts} counts */
  #stand(counts) {
    const differ = JSON.stringify(counts) !== JSON.stringify(this.#counts);
    this.#counts = counts;
    if (differ) this.tell({ type: 'counts', ...counts, cursor: this.cursor });
  }
}

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
