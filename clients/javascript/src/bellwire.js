import { Api } from './api.js';
import { environment } from './environment.js';
import { selections, Stream } from './stream.js';

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
    this.#api = new Api(url, token, this.#place.fetch);
  }

  /**
   * Follow a user's feed. It connects immediately, and reconnects until it is closed or refused for good.
   * @param {string} user
   * @param {import('./stream.js').StreamOptions} [options]
   */
  stream(user, options = {}) {
    return new Stream({ api: this.#api, place: this.#place, url: this.#url, user, options });
  }

  /**
   * Get a page of a user's notifications. Rejects with BellwireError.
   * @param {string} user
   * @param {{status?: 'unread' | 'read' | 'archived' | 'all', event?: string, limit?: number, cursor?: string,
   *   signal?: AbortSignal}} [options]
   * @returns {Promise<import('./protocol.js').Page>}
   */
  notifications(user, { signal, ...query } = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.#api.request('GET', `${path(user)}?${search}`, undefined, signal);
  }

  /**
   * @param {string} user
   * @returns {Promise<{unread_count: number, cursor: string}>}
   */
  unreadCount(user) {
    return this.#api.request('GET', `/v1/users/${encodeURIComponent(user)}/unread-count`);
  }

  /**
   * Mark as read: by id, or all up to a cursor. Resolves when it is stored.
   * @param {string} user
   * @param {import('./stream.js').Marks} marks
   */
  markRead(user, marks) {
    return this.#mark(user, 'read', marks);
  }

  /**
   * @param {string} user
   * @param {import('./stream.js').Marks} marks
   */
  markUnread(user, marks) {
    return this.#mark(user, 'unread', marks);
  }

  /**
   * @param {string} user
   * @param {import('./stream.js').Marks} marks
   */
  archive(user, marks) {
    return this.#mark(user, 'archive', marks);
  }

  /**
   * @param {string} user
   * @param {import('./stream.js').Marks} marks
   */
  unarchive(user, marks) {
    return this.#mark(user, 'unarchive', marks);
  }

  /**
   * Get a ticket that opens one socket. Streams get their own.
   * @returns {Promise<{ticket: string, expires_in: number}>}
   */
  async ticket() {
    const { ticket, expires_in } = await this.#api.ticket();
    return { ticket, expires_in };
  }

  /**
   * @param {string} user
   * @param {import('./protocol.js').Mark} mark
   * @param {import('./stream.js').Marks} marks
   * @returns {Promise<import('./protocol.js').Marked>}
   */
  async #mark(user, mark, marks) {
    let changed = 0;
    let answer;
    for (const selection of selections(marks)) {
      answer = await this.#api.request('POST', `${path(user)}/${mark}`, selection);
      changed += answer.changed;
    }
    return { ...answer, changed };
  }
}

/** @param {string} user */
const path = (user) => `/v1/users/${encodeURIComponent(user)}/notifications`;
