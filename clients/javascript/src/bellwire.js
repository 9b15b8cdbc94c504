import { Api, pathOf } from './api.js';
import { environment } from './environment.js';
import { LiveInbox } from './live.js';
import { selections, timeOf } from './following.js';
import { Stream } from './stream.js';

/**
 * @typedef {object} Access
 * @property {string} [url] of the service; the page's own origin by default
 * @property {() => string | Promise<string>} token returns a fresh token of the user; it is called at the
 *   start, and again when the token is about to expire or was refused
 */

/** @typedef {Access & import('./environment.js').Environment} Options */

/** A client of the service for one user. */
export class Bellwire {
  #api;
  #place;
  #url;

  /** @param {Options} options */
  constructor({ url = globalThis.location?.origin, token, ...given }) {
    if (!url) throw new TypeError('url is required outside of a page');
    this.#url = url;
    this.#place = environment(given);
    this.#api = new Api(url, token, this.#place);
  }

  /**
   * Follow a user's feed. It connects immediately, and reconnects until it is closed or refused for good.
   * @param {string} user
   * @param {import('./stream.js').StreamOptions} [options]
   */
  stream(user, options = {}) {
    return new Stream({ ...this.#parts(), user, options });
  }

  /**
   * Follow a user's feed as a list that loads itself, and again when it must.
   * @param {string} user
   * @param {import('./live.js').InboxOptions} [options]
   */
  inbox(user, options = {}) {
    return new LiveInbox({ ...this.#parts(), user, options });
  }

  #parts() {
    if (!this.#place.WebSocket) throw new TypeError('There is no WebSocket here: give the client one');
    return { api: this.#api, place: this.#place, url: this.#url };
  }

  /**
   * Get a page of a user's notifications. Rejects with BellwireError.
   * @param {string} user
   * @param {import('./api.js').Query} [options]
   * @returns {Promise<import('./protocol.js').Page>}
   */
  notifications(user, options) {
    return this.#api.notifications(user, options);
  }

  /**
   * Get the counts, and the position at which they are exact.
   * @param {string} user
   * @returns {Promise<import('./protocol.js').Standing>}
   */
  counts(user) {
    return this.#api.request('GET', `${pathOf(user)}/counts`);
  }

  /**
   * Mark as read: by id, or all up to a cursor. Resolves when it is stored.
   * @param {string} user
   * @param {import('./following.js').Marks} marks
   */
  markRead(user, marks) {
    return this.#mark(user, 'read', marks);
  }

  /**
   * @param {string} user
   * @param {import('./following.js').Marks} marks
   */
  markUnread(user, marks) {
    return this.#mark(user, 'unread', marks);
  }

  /**
   * @param {string} user
   * @param {import('./following.js').Marks} marks
   */
  archive(user, marks) {
    return this.#mark(user, 'archive', marks);
  }

  /**
   * @param {string} user
   * @param {import('./following.js').Marks} marks
   */
  unarchive(user, marks) {
    return this.#mark(user, 'unarchive', marks);
  }

  /**
   * Mark as seen what is unread.
   * @param {string} user
   * @param {import('./following.js').Marks} marks
   */
  markSeen(user, marks) {
    return this.#mark(user, 'seen', marks);
  }

  /**
   * Choose an action without a URL. Rejects with `already-acted` if another one was chosen.
   * @param {string} user
   * @param {string} id
   * @param {string} action
   * @returns {Promise<import('./protocol.js').Notification>}
   */
  act(user, id, action) {
    const ids = [id, action].map(encodeURIComponent);
    return this.#api.request('POST', `${pathOf(user)}/notifications/${ids[0]}/actions/${ids[1]}`);
  }

  /**
   * Take notifications away until a time, when they come back as unread.
   * @param {string} user
   * @param {string | Iterable<string>} ids
   * @param {Date | string} until
   */
  snooze(user, ids, until) {
    return this.#mark(user, 'snooze', ids, { until: timeOf(until) });
  }

  /**
   * Bring snoozed notifications back now.
   * @param {string} user
   * @param {string | Iterable<string>} ids
   */
  unsnooze(user, ids) {
    return this.#mark(user, 'unsnooze', ids);
  }

  /**
   * @param {string} user
   * @returns {Promise<import('./protocol.js').Preferences>}
   */
  preferences(user) {
    return this.#api.preferences(user);
  }

  /**
   * Choose which categories the user gets. Those that are not listed stay as they are.
   * @param {string} user
   * @param {import('./protocol.js').Choices} categories
   * @returns {Promise<import('./protocol.js').Preferences>}
   */
  setPreferences(user, categories) {
    return this.#api.setPreferences(user, categories);
  }

  /**
   * Get a ticket that opens one socket. Streams get their own.
   * @returns {Promise<{ticket: string, expires_in: number}>}
   */
  async ticket() {
    const { ticket, expires_in } = await this.#api.again(() => this.#api.ticket());
    return { ticket, expires_in };
  }

  /**
   * @param {string} user
   * @param {import('./protocol.js').Mark | 'snooze' | 'unsnooze'} mark
   * @param {import('./following.js').Marks} marks
   * @param {object} [more]
   * @returns {Promise<import('./protocol.js').Marked>}
   */
  async #mark(user, mark, marks, more) {
    let changed = 0;
    let answer;
    for (const selection of selections(marks)) {
      answer = await this.#api.request('POST', `${pathOf(user)}/notifications/${mark}`, { ...selection, ...more });
      changed += answer.changed;
    }
    return { ...(answer ?? (await this.counts(user))), changed };
  }
}
