export type Frame = import('./protocol.js').Frame;
/** @typedef {import('./protocol.js').Frame} Frame */
/** One socket at a time on a user's feed, replaced by the next when it is lost. */
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
    /** What it said when it was welcomed, with the cursor and count of now; null while it is not connected. */
    get connected(): import("./protocol.js").Connected | null;
    start(): void;
    stop(): void;
    /**
     * Say something, if anybody listens: what was not answered is to be said again when connected.
     * @param {object} frame
     */
    send(frame: object): void;
    /**
     * While it is connected: connect again, from an earlier cursor. Somebody has not had what came since.
     * @param {string} cursor
     */
    rewind(cursor: string): void;
    /** Somebody looks: do not let them wait for the next try, nor for timers that hidden pages hold back. */
    hurry(): void;
}
