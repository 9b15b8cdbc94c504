import { LiveInbox } from './live.js';
import { Stream } from './stream.js';
export type Access = {
    /**
     * of the service; the page's own origin by default
     */
    url?: string;
    /**
     * returns a fresh token of the user; it is called at the
     * start, and again when the token is about to expire or was refused
     */
    token: () => string | Promise<string>;
};
export type Options = Access & import('./environment.js').Environment;
/**
 * @typedef {object} Access
 * @property {string} [url] of the service; the page's own origin by default
 * @property {() => string | Promise<string>} token returns a fresh token of the user; it is called at the
 *   start, and again when the token is about to expire or was refused
 */
/** @typedef {Access & import('./environment.js').Environment} Options */
/** A client of the service for one user. */
export declare class Bellwire {
    #private;
    /** @param {Options} options */
    constructor({ url, token, ...given }: Options);
    /**
     * Follow a user's feed. It connects immediately, and reconnects until it is closed or refused for good.
     * @param {string} user
     * @param {import('./stream.js').StreamOptions} [options]
     */
    stream(user: string, options?: import('./stream.js').StreamOptions): Stream;
    /**
     * Follow a user's feed as a list that loads itself, and again when it must.
     * @param {string} user
     * @param {import('./live.js').InboxOptions} [options]
     */
    inbox(user: string, options?: import('./live.js').InboxOptions): LiveInbox;
    /**
     * Get a page of a user's notifications. Rejects with BellwireError.
     * @param {string} user
     * @param {import('./api.js').Query} [options]
     * @returns {Promise<import('./protocol.js').Page>}
     */
    notifications(user: string, options?: import('./api.js').Query): Promise<import('./protocol.js').Page>;
    /**
     * Get the counts, and the position at which they are exact.
     * @param {string} user
     * @returns {Promise<import('./protocol.js').Standing>}
     */
    counts(user: string): Promise<import('./protocol.js').Standing>;
    /**
     * Mark as read: by id, or all up to a cursor. Resolves when it is stored.
     * @param {string} user
     * @param {import('./following.js').Marks} marks
     */
    markRead(user: string, marks: import('./following.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * @param {string} user
     * @param {import('./following.js').Marks} marks
     */
    markUnread(user: string, marks: import('./following.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * @param {string} user
     * @param {import('./following.js').Marks} marks
     */
    archive(user: string, marks: import('./following.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * @param {string} user
     * @param {import('./following.js').Marks} marks
     */
    unarchive(user: string, marks: import('./following.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * Mark as seen what is unread.
     * @param {string} user
     * @param {import('./following.js').Marks} marks
     */
    markSeen(user: string, marks: import('./following.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * Choose an action without a URL. Rejects with `already-acted` if another one was chosen.
     * @param {string} user
     * @param {string} id
     * @param {string} action
     * @returns {Promise<import('./protocol.js').Notification>}
     */
    act(user: string, id: string, action: string): Promise<import('./protocol.js').Notification>;
    /**
     * Take notifications away until a time, when they come back as unread.
     * @param {string} user
     * @param {string | Iterable<string>} ids
     * @param {Date | string} until
     */
    snooze(user: string, ids: string | Iterable<string>, until: Date | string): Promise<import("./protocol.js").Marked>;
    /**
     * Bring snoozed notifications back now.
     * @param {string} user
     * @param {string | Iterable<string>} ids
     */
    unsnooze(user: string, ids: string | Iterable<string>): Promise<import("./protocol.js").Marked>;
    /**
     * @param {string} user
     * @returns {Promise<import('./protocol.js').Preferences>}
     */
    preferences(user: string): Promise<import('./protocol.js').Preferences>;
    /**
     * Choose which categories the user gets. Those that are not listed stay as they are.
     * @param {string} user
     * @param {import('./protocol.js').Choices} categories
     * @returns {Promise<import('./protocol.js').Preferences>}
     */
    setPreferences(user: string, categories: import('./protocol.js').Choices): Promise<import('./protocol.js').Preferences>;
    /**
     * Get a ticket that opens one socket. Streams get their own.
     * @returns {Promise<{ticket: string, expires_in: number}>}
     */
    ticket(): Promise<{
        ticket: string;
        expires_in: number;
    }>;
}
