export type StreamEvent = import('./protocol.js').StreamEvent;
export type Marks = string | Iterable<string> | {
    upTo: string | null;
    category?: string;
};
export type FollowingOptions = {
    /**
     * resume after this position; without it the stream starts now
     */
    cursor?: string | null;
    /**
     * with 'auto', notifications that are delivered live are marked read
     */
    view?: 'manual' | 'auto';
    /**
     * one connection for all tabs of this origin that follow the same user, where the
     * browser has Web Locks; otherwise, and by default, a connection of its own
     */
    shared?: boolean;
};
export type Hears<T extends StreamEvent['type']> = (event: CustomEvent<Extract<StreamEvent, {
    type: T;
}>>) => void;
export type Listening = {
    addEventListener: <T extends StreamEvent['type']>(type: T, listener: Hears<T>, options?: boolean | AddEventListenerOptions) => void;
    removeEventListener: <T extends StreamEvent['type']>(type: T, listener: Hears<T>, options?: boolean | EventListenerOptions) => void;
};
/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
/**
 * An id, several, or a cursor: all that is not newer than it, in one category if that is given. Null, the cursor
 * of a stream that was never connected, is nothing.
 * @typedef {string | Iterable<string> | {upTo: string | null, category?: string}} Marks
 */
/**
 * @typedef {object} FollowingOptions
 * @property {string | null} [cursor] resume after this position; without it the stream starts now
 * @property {'manual' | 'auto'} [view] with 'auto', notifications that are delivered live are marked read
 * @property {boolean} [shared] one connection for all tabs of this origin that follow the same user, where the
 *   browser has Web Locks; otherwise, and by default, a connection of its own
 */
/**
 * @template {StreamEvent['type']} T
 * @typedef {(event: CustomEvent<Extract<StreamEvent, {type: T}>>) => void} Hears
 */
/**
 * @typedef {object} Listening
 * @property {<T extends StreamEvent['type']>(type: T, listener: Hears<T>,
 *   options?: boolean | AddEventListenerOptions) => void} addEventListener
 * @property {<T extends StreamEvent['type']>(type: T, listener: Hears<T>,
 *   options?: boolean | EventListenerOptions) => void} removeEventListener
 */
declare const Target: new () => Listening & Pick<EventTarget, 'dispatchEvent'>;
/** The changes of a user's feed, each once and in order, even if the connection breaks. Each event's `detail` is of that `type`. */
export declare class Following extends Target {
    #private;
    /** The version of the feed when the user's preferences changed last. @protected @type {number | undefined} */
    protected version: number | undefined;
    /** Aborted when it has ended, with the refusal as reason; null if it was closed. @protected */
    protected over: AbortController;
    /**
     * @param {object} parts
     * @param {import('./api.js').Api} parts.api
     * @param {import('./environment.js').Place} parts.place
     * @param {string} parts.url
     * @param {string} parts.user
     * @param {FollowingOptions} parts.options
     */
    constructor({ api, place, url, user, options: { view, shared, cursor } }: {
        api: import('./api.js').Api;
        place: import('./environment.js').Place;
        url: string;
        user: string;
        options: FollowingOptions;
    });
    /** The position up to which all changes were passed on; null until connected, if none was given. */
    get cursor(): string | null;
    get connected(): boolean;
    /**
     * Mark as read. Resolves, once stored, with how many changed. It is sent again after a lost connection, so
     * this can take as long as the service is unavailable. Rejects with BellwireError.
     * @param {Marks} marks
     */
    markRead(marks: Marks): Promise<number>;
    /**
     * Mark as seen what is unread: the bell was opened.
     * @param {Marks} marks
     */
    markSeen(marks: Marks): Promise<number>;
    /** @param {Marks} marks */
    markUnread(marks: Marks): Promise<number>;
    /** @param {Marks} marks */
    archive(marks: Marks): Promise<number>;
    /** @param {Marks} marks */
    unarchive(marks: Marks): Promise<number>;
    /**
     * Choose an action without a URL. As `markRead`; a second, other action is refused.
     * @param {string} id
     * @param {string} action
     */
    act(id: string, action: string): Promise<number>;
    /**
     * Take notifications away until a time, when they come back as unread. As `markRead`.
     * @param {string | Iterable<string>} ids
     * @param {Date | string} until
     */
    snooze(ids: string | Iterable<string>, until: Date | string): Promise<number>;
    /**
     * Bring snoozed notifications back now. As `markRead`.
     * @param {string | Iterable<string>} ids
     */
    unsnooze(ids: string | Iterable<string>): Promise<number>;
    /** End the stream. Marks that were not answered are rejected; they may have been stored. */
    close(): void;
    /** Connect, unless it is connected or closed: streams do it themselves. */
    start(): void;
    /** @protected @param {StreamEvent} detail */
    protected tell(detail: StreamEvent): void;
}
/**
 * The tabs with one key share a connection, and its cursor is kept under that.
 * @param {string} url
 * @param {string} user
 * @param {'manual' | 'auto'} view
 */
export declare const keyOf: (url: string, user: string, view: 'manual' | 'auto') => string;
export type Answer = {
    resolve: (changed: number) => void;
    reject: (error: Error) => void;
};
/** @typedef {{resolve: (changed: number) => void, reject: (error: Error) => void}} Answer */
/**
 * Split marks into what the service accepts in one command.
 * @param {Marks} marks
 * @returns {import('./protocol.js').Selection[]}
 */
export declare function selections(marks: Marks): import('./protocol.js').Selection[];
/** @param {Date | string} time */
export declare const timeOf: (time: Date | string) => string;
export {};
