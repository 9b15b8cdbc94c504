import { Following } from './following.js';
export type StreamEvent = import('./protocol.js').StreamEvent;
export type Marks = import('./following.js').Marks;
export type StreamOptions = import('./following.js').FollowingOptions & {
    storage?: 'session' | 'local' | Pick<Storage, 'getItem' | 'setItem'>;
};
/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
/** @typedef {import('./following.js').Marks} Marks */
/**
 * @typedef {import('./following.js').FollowingOptions & {
 *   storage?: 'session' | 'local' | Pick<Storage, 'getItem' | 'setItem'>,
 * }} StreamOptions `storage` is where to keep the cursor for the next stream of this user that is not given one
 */
/**
 * The changes of a user's feed, each once and in order, even if the connection breaks.
 *
 * Every event's `detail` is an object of that `type`; `for await` yields these objects, from when the loop
 * begins. A loop ends when the stream is closed, and throws BellwireError when it is refused.
 */
export declare class Stream extends Following {
    #private;
    /** @param {ConstructorParameters<typeof Following>[0] & {options: StreamOptions}} parts */
    constructor(parts: ConstructorParameters<typeof Following>[0] & {
        options: StreamOptions;
    });
    /** As of the newest position that this stream knows, as the other counts. */
    get unreadCount(): number;
    /** How many of the unread are unseen. */
    get unseenCount(): number;
    /** How many are unread in each category that has any. */
    get unreadIn(): Record<string, number>;
    /** The version of the feed when the user's preferences changed last; undefined until connected. */
    get preferencesVersion(): number | undefined;
    get closed(): boolean;
    [Symbol.asyncIterator](): AsyncGenerator<import("./protocol.js").StreamEvent, void, unknown>;
    /** @protected @param {StreamEvent} event */
    protected tell(event: StreamEvent): void;
}
