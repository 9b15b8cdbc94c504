import { Following } from './following.js';
export type Filter = import('./inbox.js').Filter;
export type Page = import('./protocol.js').Page;
export type StreamEvent = import('./protocol.js').StreamEvent;
export type Stream = Following;
export type InboxOptions = {
    /**
     * of a page; 20 by default
     */
    limit?: number;
    /**
     * as a stream's
     */
    view?: 'manual' | 'auto';
    /**
     * as a stream's
     */
    shared?: boolean;
};
export type State = 'loading' | 'connecting' | 'online' | 'reconnecting' | 'offline' | 'refused' | 'closed';
export type InboxEvents = {
    change: null;
    state: State;
    arrived: import('./protocol.js').Notification[];
    preferences: number;
    error: Error;
};
export type InboxListening = {
    addEventListener: <T extends keyof InboxEvents>(type: T, listener: (event: CustomEvent<InboxEvents[T]>) => void, options?: boolean | AddEventListenerOptions) => void;
    removeEventListener: <T extends keyof InboxEvents>(type: T, listener: (event: CustomEvent<InboxEvents[T]>) => void, options?: boolean | EventListenerOptions) => void;
};
/** @typedef {import('./inbox.js').Filter} Filter */
/** @typedef {import('./protocol.js').Page} Page */
/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
/** @typedef {Following} Stream */
/**
 * @typedef {object} InboxOptions
 * @property {number} [limit] of a page; 20 by default
 * @property {'manual' | 'auto'} [view] as a stream's
 * @property {boolean} [shared] as a stream's
 */
/**
 * `refused`: the service does not want this user or token, and the inbox has ended.
 * @typedef {'loading' | 'connecting' | 'online' | 'reconnecting' | 'offline' | 'refused' | 'closed'} State
 */
/**
 * `change`: of the notifications or counts. `arrived`: new notifications, while connected.
 * @typedef {{change: null, state: State, arrived: import('./protocol.js').Notification[],
 *   preferences: number, error: Error}} InboxEvents
 */
/**
 * @typedef {object} InboxListening
 * @property {<T extends keyof InboxEvents>(type: T, listener: (event: CustomEvent<InboxEvents[T]>) => void,
 *   options?: boolean | AddEventListenerOptions) => void} addEventListener
 * @property {<T extends keyof InboxEvents>(type: T, listener: (event: CustomEvent<InboxEvents[T]>) => void,
 *   options?: boolean | EventListenerOptions) => void} removeEventListener
 */
declare const Target: new () => InboxListening & Pick<EventTarget, 'dispatchEvent'>;
/** A user's inbox: it loads, follows the stream, and loads again when it must. */
export declare class LiveInbox extends Target {
    #private;
    /**
     * @param {object} parts
     * @param {import('./api.js').Api} parts.api
     * @param {import('./environment.js').Place} parts.place
     * @param {string} parts.url
     * @param {string} parts.user
     * @param {InboxOptions} parts.options
     */
    constructor({ options: { limit, ...streamed }, ...parts }: {
        api: import('./api.js').Api;
        place: import('./environment.js').Place;
        url: string;
        user: string;
        options: InboxOptions;
    });
    get state(): "closed" | "connecting" | "loading" | "offline" | "online" | "reconnecting" | "refused";
    /** The notifications, newest first. */
    get items(): import("./protocol.js").Notification[];
    get cursor(): string | null;
    get unreadCount(): number;
    get unseenCount(): number;
    /** How many are unread in each category that has any. */
    get unreadIn(): Record<string, number>;
    /**
     * The notifications of a category, or those that are unread: as far down as they are loaded.
     * @param {Filter} filter
     */
    list(filter: Filter): import("./protocol.js").Notification[];
    /**
     * Whether a list has more notifications than those that are loaded.
     * @param {Filter} [filter]
     */
    hasMore(filter?: Filter): boolean;
    /**
     * Load the next page of a list. Rejects with BellwireError.
     * @param {Filter} [filter]
     * @returns {Promise<void>}
     */
    more(filter?: Filter): Promise<void>;
    /** Load again. Resolves also if that fails, after which it is tried again. */
    refresh(): Promise<void>;
    /** The user has opened the list: mark as seen what is in it. Does nothing if there is nothing new. */
    seen(): Promise<number>;
    /**
     * Resolves with how many changed, once it is stored. Rejects with BellwireError.
     * @param {import('./following.js').Marks} marks
     */
    markRead(marks: import('./following.js').Marks): Promise<number>;
    /**
     * Mark all as read that the user can have seen, in one category if it is given.
     * @param {{category?: string}} [filter]
     */
    markAllRead({ category }?: {
        category?: string;
    }): Promise<number>;
    /** @param {import('./following.js').Marks} marks */
    markUnread(marks: import('./following.js').Marks): Promise<number>;
    /** @param {import('./following.js').Marks} marks */
    archive(marks: import('./following.js').Marks): Promise<number>;
    /** @param {import('./following.js').Marks} marks */
    unarchive(marks: import('./following.js').Marks): Promise<number>;
    /**
     * Choose an action without a URL.
     * @param {string} id
     * @param {string} action
     */
    act(id: string, action: string): Promise<number>;
    /**
     * Take notifications away until a time.
     * @param {string | Iterable<string>} ids
     * @param {Date | string} until
     */
    snooze(ids: string | Iterable<string>, until: Date | string): Promise<number>;
    /**
     * Bring snoozed notifications back now.
     * @param {string | Iterable<string>} ids
     */
    unsnooze(ids: string | Iterable<string>): Promise<number>;
    /** The event `preferences` says when to ask again. */
    preferences(): Promise<import("./protocol.js").Preferences>;
    /** @param {import('./protocol.js').Choices} choices */
    setPreferences(choices: import('./protocol.js').Choices): Promise<import("./protocol.js").Preferences>;
    close(): void;
}
export {};
