/** @param {string} user */
export declare const pathOf: (user: string) => string;
export type Query = {
    status?: 'unread' | 'read' | 'archived' | 'snoozed' | 'all';
    category?: string | string[];
    event?: string;
    limit?: number;
    cursor?: string;
    signal?: AbortSignal;
};
/**
 * @typedef {{status?: 'unread' | 'read' | 'archived' | 'snoozed' | 'all', category?: string | string[],
 *   event?: string, limit?: number, cursor?: string, signal?: AbortSignal}} Query
 */
/** HTTP requests, with a token that is kept until it is refused. */
export declare class Api {
    #private;
    /**
     * @param {string} url
     * @param {() => string | Promise<string>} token
     * @param {import('./environment.js').Place} place
     */
    constructor(url: string, token: () => string | Promise<string>, place: import('./environment.js').Place);
    /** @param {string} path */
    socketUrl(path: string): string;
    /** The kept token, or a new one. Rejects with the error of the application's function. */
    token(): Promise<string>;
    /**
     * Get another token next time, unless the refused one has been replaced meanwhile.
     * @param {string | null} refused
     */
    forget(refused: string | null): void;
    /**
     * Get a ticket for a socket, and the token that it stands for.
     * @returns {Promise<{ticket: string, expires_in: number, token: string}>}
     */
    ticket(): Promise<{
        ticket: string;
        expires_in: number;
        token: string;
    }>;
    /**
     * Make a request, and the same again while the service is unavailable, for 30 s. None does harm twice.
     * @param {string} method
     * @param {string} path
     * @param {unknown} [body]
     * @param {AbortSignal} [signal]
     * @returns {Promise<any>}
     */
    request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<any>;
    /**
     * Get a page of a user's notifications.
     * @param {string} user
     * @param {Query} [query]
     * @returns {Promise<import('./protocol.js').Page>}
     */
    notifications(user: string, { signal, ...query }?: Query): Promise<import('./protocol.js').Page>;
    /**
     * @param {string} user
     * @returns {Promise<import('./protocol.js').Preferences>}
     */
    preferences(user: string): Promise<import('./protocol.js').Preferences>;
    /**
     * @param {string} user
     * @param {import('./protocol.js').Choices} categories
     * @returns {Promise<import('./protocol.js').Preferences>}
     */
    setPreferences(user: string, categories: import('./protocol.js').Choices): Promise<import('./protocol.js').Preferences>;
    /**
     * Repeat what fails with a 502, 503 or 504 or without an answer, for 30 s.
     * @template T
     * @param {() => Promise<T>} attempt
     * @param {AbortSignal} [signal]
     * @returns {Promise<T>}
     */
    again<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T>;
}
