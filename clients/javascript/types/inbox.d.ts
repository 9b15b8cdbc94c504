export type Notification = import('./protocol.js').Notification;
export type Filter = {
    category?: string;
    unread?: boolean;
};
/** @typedef {import('./protocol.js').Notification} Notification */
/** @typedef {{category?: string, unread?: boolean}} Filter which of the notifications a list has: all, if empty */
/**
 * A user's notifications that are neither archived nor snoozed nor retracted, kept up to date by a stream's
 * events. It does no I/O.
 */
export declare class Inbox {
    #private;
    /** The notifications of the list without a filter, newest first. */
    get items(): import("./protocol.js").Notification[];
    /** The position of the newest page or event; null until one is loaded. */
    get cursor(): string | null;
    /** Exact at `cursor`, as the other counts; not only of what is loaded. */
    get unreadCount(): number;
    /** How many of the unread are unseen. */
    get unseenCount(): number;
    /** How many are unread in each category that has any. */
    get unreadIn(): Record<string, number>;
    /**
     * The notifications of a list, newest first; one that was snoozed counts as new from when it came back.
     * @param {Filter} [filter]
     */
    list(filter?: Filter): import("./protocol.js").Notification[];
    /**
     * How to load the next page of a list: its cursor; undefined for the first page, null after the last.
     * @param {Filter} [filter]
     */
    next(filter?: Filter): string | null | undefined;
    /**
     * Replace everything: with the first page, and again after `apply` returned false.
     * @param {import('./protocol.js').Page} page
     */
    load(page: import('./protocol.js').Page): void;
    /**
     * Add the next page of a list. Events that came since it was requested must be applied again.
     * @param {import('./protocol.js').Page} page
     * @param {Filter} [filter] with which the page was requested
     */
    add(page: import('./protocol.js').Page, filter?: Filter): void;
    /**
     * Apply an event of the stream. Returns false if the list must be loaded again: after a reset, or when a
     * change brings back notifications that are not in the list.
     * @param {import('./protocol.js').StreamEvent} event
     */
    apply(event: import('./protocol.js').StreamEvent): boolean;
}
