export type Notification = import('./protocol.js').Notification;
/** @typedef {import('./protocol.js').Notification} Notification */
/** A user's notifications that are neither archived nor retracted, kept up to date by a stream's events. */
export declare class Inbox {
    #private;
    /** Newest first. */
    get items(): import("./protocol.js").Notification[];
    /**
     * Replace the list: with the first page, and again after `apply` returned false.
     * @param {{items: Notification[]}} page
     */
    load({ items }: {
        items: Notification[];
    }): void;
    /**
     * Add an older page.
     * @param {{items: Notification[]}} page
     */
    add({ items }: {
        items: Notification[];
    }): void;
    /**
     * Apply an event of the stream. Returns false if the list must be loaded again: after a reset, or when a
     * change brings back notifications that are not in the list.
     * @param {import('./protocol.js').StreamEvent} event
     */
    apply(event: import('./protocol.js').StreamEvent): boolean;
}
