import { versionOf } from './protocol.js';

/** @typedef {import('./protocol.js').Notification} Notification */

/** A user's notifications that are neither archived nor retracted, kept up to date by a stream's events. */
export class Inbox {
  /** @type {Map<string, Notification>} */
  #items = new Map();

  /** Newest first. */
  get items() {
    return [...this.#items.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  /**
   * Replace the list: with the first page, and again after `apply` returned false.
   * @param {{items: Notification[]}} page
   */
  load({ items }) {
    this.#items.clear();
    this.add({ items });
  }

  /**
   * Add an older page.
   * @param {{items: Notification[]}} page
   */
  add({ items }) {
    for (const item of items) this.#upsert(item);
  }

  /**
   * Apply an event of the stream. Returns false if the list must be loaded again: after a reset, or when a
   * change brings back notifications that are not in the list.
   * @param {import('./protocol.js').StreamEvent} event
   */
  apply(event) {
    if (event.type === 'notifications') this.add(event);
    if (event.type === 'update') return this.#update(event);
    return event.type !== 'reset';
  }

  /** @param {Notification} item */
  #upsert(item) {
    const known = this.#items.get(item.id);
    if (known && known.version >= item.version) return;
    if (item.archived_at || item.retracted_at) this.#items.delete(item.id);
    else this.#items.set(item.id, item);
  }

  /** @param {import('./protocol.js').Update} update */
  #update({ ids, up_to, set, prev, cursor }) {
    const whole = set.archived_at !== null && set.retracted_at !== null;
    if (ids) {
      ids.forEach((id, index) => this.#change(id, set, versionOf(prev) + 1 + index));
      return whole || ids.every((id) => this.#items.has(id));
    }
    for (const { id, version } of this.#items.values()) {
      if (version <= versionOf(/** @type {string} */ (up_to))) this.#change(id, set, versionOf(cursor));
    }
    return whole;
  }

  /**
   * @param {string} id
   * @param {import('./protocol.js').Update['set']} set
   * @param {number} version
   */
  #change(id, set, version) {
    const item = this.#items.get(id);
    if (!item) return;
    const entries = /** @type {[import('./protocol.js').Field, string | null][]} */ (Object.entries(set));
    // The first time is kept: an update up to a cursor skips notifications already in that state.
    if (entries.every(([field, value]) => (item[field] === null) === (value === null))) return;
    this.#upsert({ ...item, ...set, version });
  }
}
