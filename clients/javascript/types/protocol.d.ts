export type Notification = {
    /**
     * ids are ordered by time
     */
    id: string;
    user_id: string;
    /**
     * of two states of a notification the one with the higher version is newer
     */
    version: number;
    event: string;
    title: string | null;
    message: string;
    metadata: Record<string, unknown>;
    action_url: string | null;
    created_at: string;
    read_at: string | null;
    archived_at: string | null;
    retracted_at: string | null;
    expires_at: string | null;
};
export type Field = 'read_at' | 'archived_at' | 'retracted_at';
export type Page = {
    /**
     * newest first
     */
    items: Notification[];
    /**
     * of the next page of this list
     */
    next_cursor: string | null;
    unread_count: number;
    /**
     * where the feed stands: open a stream from it
     */
    cursor: string;
};
export type Marked = {
    changed: number;
    unread_count: number;
    cursor: string;
};
export type Welcome = {
    session: string;
    cursor: string;
    unread_count: number;
    /**
     * seconds
     */
    ping_interval: number;
    /**
     * seconds
     */
    token_expires_in: number;
    resumed: boolean;
    server: string;
};
export type Notifications = {
    type: 'notifications';
    /**
     * to be upserted by id
     */
    items: Notification[];
    prev: string;
    cursor: string;
    unread_count: number;
    /**
     * the items are what changed while the client was away, as they are now
     */
    replay?: boolean;
};
export type Update = {
    type: 'update';
    ids?: string[];
    up_to?: string;
    set: Partial<Record<Field, string | null>>;
    prev: string;
    cursor: string;
    unread_count: number;
};
export type Replayed = {
    type: 'replayed';
    prev: string;
    cursor: string;
    unread_count: number;
};
export type Reset = {
    type: 'reset';
    cursor: string;
    unread_count: number;
    reason: string;
};
export type Change = Notifications | Update | Replayed | Reset;
export type Ok = {
    type: 'ok';
    ref: string;
    changed: number;
};
export type Refusal = {
    type: 'error';
    ref: string | null;
    code: string;
    detail: string;
    temporary: boolean;
};
export type Bye = {
    type: 'bye';
    code: number;
    reason: string;
    retry_ms: number | null;
    resume: boolean;
};
export type WelcomeFrame = {
    type: 'welcome';
} & Welcome;
export type Ping = {
    type: 'ping';
};
export type Frame = WelcomeFrame | Notifications | Update | Replayed | Reset | Ok | Refusal | Bye | Ping;
export type Mark = 'read' | 'unread' | 'archive' | 'unarchive';
export type Selection = {
    ids: string[];
} | {
    up_to: string;
};
export type Command = {
    type: Mark;
    ref: string;
} & Selection;
export type Connected = {
    type: 'connected';
    reset: boolean;
} & Welcome;
export type Disconnected = {
    type: 'disconnected';
    /**
     * of the close; null if there was no connection
     */
    code: number | null;
    /**
     * for people
     */
    reason: string;
    /**
     * until the next try; null if none is planned: until the browser is
     * online or the page is back, or never
     */
    retry_ms: number | null;
    /**
     * the stream has ended: the same request would be refused again
     */
    final: boolean;
};
export type Unread = {
    type: 'unread';
    unread_count: number;
    cursor: string | null;
};
export type StreamEvent = Connected | Disconnected | Change | Unread | Refusal;
export type Told = StreamEvent | Ok;
export type Tell = (told: Told) => void;
/**
 * @typedef {object} Notification
 * @property {string} id ids are ordered by time
 * @property {string} user_id
 * @property {number} version of two states of a notification, the one with the higher version is newer
 * @property {string} event
 * @property {string | null} title
 * @property {string} message
 * @property {Record<string, unknown>} metadata
 * @property {string | null} action_url
 * @property {string} created_at
 * @property {string | null} read_at
 * @property {string | null} archived_at
 * @property {string | null} retracted_at
 * @property {string | null} expires_at
 */
/** @typedef {'read_at' | 'archived_at' | 'retracted_at'} Field */
/**
 * @typedef {object} Page
 * @property {Notification[]} items newest first
 * @property {string | null} next_cursor for the next page of this list
 * @property {number} unread_count
 * @property {string} cursor the feed's position: open a stream from it
 */
/** @typedef {{changed: number, unread_count: number, cursor: string}} Marked */
/**
 * @typedef {object} Welcome
 * @property {string} session
 * @property {string} cursor
 * @property {number} unread_count
 * @property {number} ping_interval seconds
 * @property {number} token_expires_in seconds
 * @property {boolean} resumed
 * @property {string} server
 */
/**
 * @typedef {object} Notifications
 * @property {'notifications'} type
 * @property {Notification[]} items to be upserted by id
 * @property {string} prev
 * @property {string} cursor
 * @property {number} unread_count
 * @property {boolean} [replay] the items changed while the client was away, and are given as they are now
 */
/**
 * @typedef {object} Update
 * @property {'update'} type
 * @property {string[]} [ids]
 * @property {string} [up_to]
 * @property {Partial<Record<Field, string | null>>} set
 * @property {string} prev
 * @property {string} cursor
 * @property {number} unread_count
 */
/**
 * The catch-up is complete. `prev`, which the client adds, is the cursor from which it last resumed.
 * @typedef {{type: 'replayed', prev: string, cursor: string, unread_count: number}} Replayed
 */
/** @typedef {{type: 'reset', cursor: string, unread_count: number, reason: string}} Reset */
/** @typedef {Notifications | Update | Replayed | Reset} Change */
/** @typedef {{type: 'ok', ref: string, changed: number}} Ok */
/** @typedef {{type: 'error', ref: string | null, code: string, detail: string, temporary: boolean}} Refusal */
/** @typedef {{type: 'bye', code: number, reason: string, retry_ms: number | null, resume: boolean}} Bye */
/** @typedef {{type: 'welcome'} & Welcome} WelcomeFrame */
/** @typedef {{type: 'ping'}} Ping */
/** @typedef {WelcomeFrame | Notifications | Update | Replayed | Reset | Ok | Refusal | Bye | Ping} Frame */
/** @typedef {'read' | 'unread' | 'archive' | 'unarchive'} Mark */
/** @typedef {{ids: string[]} | {up_to: string}} Selection */
/** @typedef {{type: Mark, ref: string} & Selection} Command */
/**
 * The stream is live, or will be when it has caught up. `reset` says that the cursor cannot be resumed: a
 * `reset` event follows.
 * @typedef {{type: 'connected', reset: boolean} & Welcome} Connected
 */
/**
 * @typedef {object} Disconnected
 * @property {'disconnected'} type
 * @property {number | null} code of the close; null if there was no connection
 * @property {string} reason for people
 * @property {number | null} retry_ms until the next attempt; null if none is planned: until the browser is
 *   online or the page is back, or never
 * @property {boolean} final the stream has ended: the same request would be refused again
 */
/** @typedef {{type: 'unread', unread_count: number, cursor: string | null}} Unread */
/**
 * The events of a stream. Frames of the service are passed on unchanged.
 * @typedef {Connected | Disconnected | Change | Unread | Refusal} StreamEvent
 */
/** @typedef {StreamEvent | Ok} Told what a connection passes to the streams that it serves */
/** @typedef {(told: Told) => void} Tell */
/** @param {string} cursor */
export declare const versionOf: (cursor: string) => number;
/** @param {string} cursor */
export declare const epochOf: (cursor: string) => string;
/**
 * Whether a cursor has the same epoch, and is earlier.
 * @param {string} cursor
 * @param {string} than
 */
export declare const isBehind: (cursor: string, than: string) => boolean;
/**
 * The part of a frame that is new at a position: all of it, some of it, or nothing (null). 'hole' if
 * something between the two is missing.
 * @template {Notifications | Update | Replayed} F
 * @param {string | null} position
 * @param {F} frame
 * @returns {F | null | 'hole'}
 */
export declare function newPart<F extends Notifications | Update | Replayed>(position: string | null, frame: F): F | null | 'hole';
