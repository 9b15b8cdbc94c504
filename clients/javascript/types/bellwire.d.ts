import { Stream } from './stream.js';
export type Access = {
    /**
     * of the service; the page's own origin by default
     */
    url?: string;
    /**
     * returns a fresh token of the user; it is asked for one at
     * the start, and again when that one is about to expire or was refused
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
     * Get a page of a user's notifications. Rejects with BellwireError.
     * @param {string} user
     * @param {{status?: 'unread' | 'read' | 'archived' | 'all', event?: string, limit?: number, cursor?: string,
     *   signal?: AbortSignal}} [options]
     * @returns {Promise<import('./protocol.js').Page>}
     */
    notifications(user: string, { signal, ...query }?: {
        status?: 'unread' | 'read' | 'archived' | 'all';
        event?: string;
        limit?: number;
        cursor?: string;
        signal?: AbortSignal;
    }): Promise<import('./protocol.js').Page>;
    /**
     * @param {string} user
     * @returns {Promise<{unread_count: number, cursor: string}>}
     */
    unreadCount(user: string): Promise<{
        unread_count: number;
        cursor: string;
    }>;
    /**
     * Mark as read: by id, or all up to a cursor. Resolves when it is stored.
     * @param {string} user
     * @param {import('./stream.js').Marks} marks
     */
    markRead(user: string, marks: import('./stream.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * @param {string} user
     * @param {import('./stream.js').Marks} marks
     */
    markUnread(user: string, marks: import('./stream.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * @param {string} user
     * @param {import('./stream.js').Marks} marks
     */
    archive(user: string, marks: import('./stream.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * @param {string} user
     * @param {import('./stream.js').Marks} marks
     */
    unarchive(user: string, marks: import('./stream.js').Marks): Promise<import("./protocol.js").Marked>;
    /**
     * Get a ticket that opens one socket. Streams get their own.
     * @returns {Promise<{ticket: string, expires_in: number}>}
     */
    ticket(): Promise<{
        ticket: string;
        expires_in: number;
    }>;
}
