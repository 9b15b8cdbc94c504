import { countsOf, isAfter, versionOf } from './protocol.js';

/** @typedef {import('./protocol.js').Notification} Notification */
/** @typedef {{category?: string, unread?: boolean}} Filter which of the notifications a list has: all, if empty */

/**
 * A user's notifications that are neither archived nor snoozed nor retracted, kept up to date by a stream's
 * events. It does no I/O.
 */
export class Inbox {
  /** @type {Map<string, Notification>} */
  #items = new Map();
  /** All of them, newest first; null when that is to be found out again. @type {Notification[] | null} */
  #sorted = null;
  /**
   * How far down each list is loaded, by filter, and how to go on. Notifications below are left out of a list:
   * others between them may be missing.
   * @type {Map<string, {floor: string, next: string | null}>}
   */
  #lists = new Map();
  /** The position of the page with which the list began. @type {string | null} */
  #began = null;
  /** @type {string | null} */
  #cursor = null;
  /** @type {import('./protocol.js').Counts} */
  #counts = { unread_count: 0, unseen_count: 0, unread_in: {} };

  /** The notifications of the list without a filter, newest first. */
  get items() {
    return this.list();
  }

  /** The position of the newest page or event; null until one is loaded. */
  get cursor() {
    return this.#cursor;
  }

  /** Exact at `cursor`, as the other counts; not only of what is loaded. */
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

  /**
   * The notifications of a list, newest first; one that was snoozed counts as new from when it came back.
   * @param {Filter} [filter]
   */
  list(filter = {}) {
    const floor = this.#floor(filter);
    this.#sorted ??= [...this.#items.values()].sort((one, other) => (placeOf(one) < placeOf(other) ? 1 : -1));
    return this.#sorted.filter((item) => matches(item, filter) && placeOf(item) >= floor);
  }

  /**
   * How to load the next page of a list: its cursor; undefined for the first page, null after the last.
   * @param {Filter} [filter]
   */
  next(filter = {}) {
    return this.#floor(filter) === '' ? null : this.#lists.get(keyOf(filter))?.next;
  }

  /**
   * Replace everything: with the first page, and again after `apply` returned false.
   * @param {import('./protocol.js').Page} page
   */
  load(page) {
    this.#items.clear();
    this.#sorted = null;
    this.#lists.clear();
    this.#began = this.#cursor = null;
    this.add(page);
    this.#began = page.cursor;
  }

  /**
   * Add the next page of a list. Events that came since it was requested must be applied again.
   * @param {import('./protocol.js').Page} page
   * @param {Filter} [filter] with which the page was requested
   */
  add(page, filter = {}) {
    for (const item of page.items) this.#upsert(item);
    const next = page.next_cursor;
    const floor = next === null ? '' : (page.items.at(-1)?.id ?? this.#floor(filter));
    this.#lists.set(keyOf(filter), { floor, next });
    this.#stand(page);
  }

  /**
   * Apply an event of the stream. Returns false if the list must be loaded again: after a reset, or when a
   * change brings back notifications that are not in the list.
   * @param {import('./protocol.js').StreamEvent} event
   */
  apply(event) {
    switch (event.type) {
      case 'reset':
        this.#cursor = null;
        this.#stand(event);
        return false;
      case 'notifications':
      case 'update':
      case 'replayed': {
        if (this.#began !== null && !isAfter(event.cursor, this.#began)) return true;
        const whole = this.#change(event);
        this.#stand(event);
        return whole;
      }
    }
    return true;
  }

  /** @param {Exclude<import('./protocol.js').Change, {type: 'reset'}>} event */
  #change(event) {
    if (event.type === 'notifications') event.items.forEach((item) => this.#upsert(item));
    return event.type !== 'update' || this.#update(event);
  }

  /** @param {import('./protocol.js').Standing} standing */
  #stand(standing) {
    if (this.#cursor !== null && !isAfter(standing.cursor, this.#cursor)) return;
    this.#cursor = standing.cursor;
    this.#counts = countsOf(standing);
  }

  /** @param {Filter} filter */
  #floor(filter) {
    const floors = [{}, filter].map((one) => this.#lists.get(keyOf(one))?.floor ?? NOTHING);
    return floors[0] < floors[1] ? floors[0] : floors[1];
  }

  /** @param {Notification} item */
  #upsert(item) {
    const known = this.#items.get(item.id);
    if (known && known.version >= item.version) return;
    this.#sorted = null;
    if (item.archived_at || item.snoozed_until || item.retracted_at) this.#items.delete(item.id);
    else this.#items.set(item.id, item);
  }

  /** @param {import('./protocol.js').Update} update */
  #update(update) {
    const { ids, up_to, set, prev, cursor } = update;
    const back = set.archived_at === null || set.snoozed_until === null || !!set.woken_at;
    if (ids) {
      const found = ids.map((id, index) => {
        const item = this.#items.get(id);
        if (item) this.#upsert(changed(item, update, versionOf(prev) + 1 + index));
        return !!item;
      });
      return !back || found.every(Boolean);
    }
    for (const item of up_to ? this.#items.values() : []) {
      const concerned = item.version <= versionOf(/** @type {string} */ (up_to)) && differs(item, set);
      if (concerned) this.#upsert(changed(item, update, versionOf(cursor)));
    }
    return !back;
  }
}

/** Above every id. */
const NOTHING = '~';

/** @param {Filter} filter */
const keyOf = ({ category = '', unread = false }) => `${unread} ${category}`;

/**
 * @param {Notification} item
 * @param {Filter} filter
 */
const matches = (item, { category, unread }) =>
  (category === undefined || item.category === category) && !(unread && item.read_at);

/**
 * Ids are ordered by time: they begin with its milliseconds (RFC 9562, version 7).
 * @param {Notification} item
 */
function placeOf({ id, woken_at }) {
  if (!woken_at) return id;
  return Date.parse(woken_at).toString(16).padStart(12, '0').replace(/^.{8}/, '$&-');
}

/**
 * Whether a change up to a cursor concerns an item: those that are already so keep their first time.
 * @param {Notification} item
 * @param {import('./protocol.js').Update['set']} set
 */
function differs(item, set) {
  const entries = /** @type {[import('./protocol.js').Field, string | null][]} */ (Object.entries(set));
  return entries.some(([field, value]) => (item[field] ?? null) !== null !== (value !== null));
}

/**
 * An item after a change. A frame says only the time that was marked; others follow from it.
 * @param {Notification} item
 * @param {import('./protocol.js').Update} update
 * @param {number} version
 * @returns {Notification}
 */
function changed(item, { set, action }, version) {
  const next = { ...item, ...set, version };
  const at = set.read_at ?? set.archived_at ?? set.acted_at;
  if (at) next.seen_at ??= at;
  if (set.acted_at) {
    next.read_at ??= set.acted_at;
    next.action = action;
  }
  if (set.woken_at) next.snoozed_until = null;
  if (set.woken_at || set.snoozed_until === null) next.seen_at = next.read_at = null;
  return next;
}
