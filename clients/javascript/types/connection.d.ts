export type Frame = import('./protocol.js').Frame;
/** @typedef {import('./protocol.js').Frame} Frame */
/** One socket at a time on a user's feed, replaced by another when it is lost. */
export declare class Connection {
    #private;
    /**
     * @param {object} parts
     * @param {import('./api.js').Api} parts.api
     * @param {import('./environment.js').Place} parts.place
     * @param {string} parts.user
     * @param {'manual' | 'auto'} parts.view
     * @param {string | null} parts.cursor
     * @param {import('./protocol.js').Tell} parts.tell
     */
    constructor({ api, place, user, view, cursor, tell }: {
        api: import('./api.js').Api;
        place: import('./environment.js').Place;
        user: string;
        view: 'manual' | 'auto';
        cursor: string | null;
        tell: import('./protocol.js').Tell;
    });
    /** The welcome, with the current cursor and count; null while it is not connected. */
    get connected(): import("./protocol.js").Connected | null;
    start(): void;
    stop(): void;
    /**
     * Send a frame if connected. Callers send again after a reconnect what was not answered.
     * @param {object} frame
     */
    send(frame: object): void;
    /**
     * Reconnect from an earlier cursor, if connected: a stream has missed what came since.
     * @param {string} cursor
     */
    rewind(cursor: string): void;
    /** The page is visible: wait neither for the next attempt nor for timers that hidden pages delay. */
    hurry(): void;
}
