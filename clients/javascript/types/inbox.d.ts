export type Notification = import('./protocol.js').Notification;
/** @typedef {import('./protocol.js').Notification} Notification */
/** A user's notifications that are neither archived nor taken back, kept true by a stream's events. */
export declare class Inbox {
    #private;
    /** Newest first. */
    get items(): import("./protocol.js").Notification[];
    /**
     * Begin with these: the first page, and again after `apply` returned false.
     * @param {{items: Notification[]}} page
     */
    load({ items }: {
        items: Notification[];
    }): void;
    /**
     * Add older ones.
     * @param {{items: Notification[]}} page
     */
    add({ items }: {
        items: Notification[];
    }): void;
    /**
     * Take in an event of the stream. Returns false if the list has to be loaded again: after a reset, or when a
     * change brings back notifications that are not here.
     * @param {import('./protocol.js').StreamEvent} event
     */
    apply(event: import('./protocol.js').StreamEvent): boolean;
}
