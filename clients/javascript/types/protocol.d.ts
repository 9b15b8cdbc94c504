export type Notification = {
    /**
     * ids are ordered by time
     */
    id: string;
    user_id: string;
    /**
     * of two states of a notification, the one with the higher version is newer
     */
    version: number;
    event: string;
    category: string;
    title: string | null;
    message: string;
    metadata: Record<string, unknown>;
    action_url: string | null;
    created_at: string;
    seen_at: string | null;
    read_at: string | null;
    archived_at: string | null;
    retracted_at: string | null;
    expires_at: string | null;
    edited_at?: string | null;
    acted_at?: string | null;
    /**
     * the id of the action that the user chose
     */
    action?: string | null;
    snoozed_until?: string | null;
    woken_at?: string | null;
    /**
     * `info` if absent
     */
    severity?: Severity;
    image_url?: string | null;
    icon?: string | null;
    /**
     * at most three
     */
    actions?: Action[];
    collapse_key?: string | null;
    /**
     * how many notifications it stands for; 1 if absent
     */
    count?: number;
    /**
     * the latest three, the newest first
     */
    actors?: Actor[];
    /**
     * how many different actors; exact up to 100
     */
    actor_count?: number;
};
export type Severity = 'info' | 'success' | 'warning' | 'critical';
export type Actor = {
    name: string;
    id?: string | null;
    avatar_url?: string | null;
};
export type Action = {
    id: string;
    label: string;
    /**
     * where it leads; without one it is answered with `act`
     */
    url?: string | null;
    style?: 'default' | 'primary' | 'danger';
};
export type Field = 'seen_at' | 'read_at' | 'archived_at' | 'retracted_at' | 'acted_at' | 'snoozed_until' | 'woken_at';
export type Counts = {
    unread_count: number;
    /**
     * how many of these are unseen
     */
    unseen_count: number;
    /**
     * how many are unread in each category that has any
     */
    unread_in: Record<string, number>;
};
export type Standing = Counts & {
    cursor: string;
};
export type Listed = {
    /**
     * newest first
     */
    items: Notification[];
    /**
     * for the next page of this list
     */
    next_cursor: string | null;
};
export type Page = Listed & Standing;
export type Marked = {
    changed: number;
} & Standing;
export type CategoryPreference = {
    id: string;
    title: string | null;
    description: string | null;
    /**
     * whether the user gets notifications of this category
     */
    enabled: boolean;
    /**
     * it cannot be switched off
     */
    mandatory: boolean;
    /**
     * by the user; null: the default applies
     */
    chosen: boolean | null;
};
export type Preferences = {
    categories: CategoryPreference[];
    preferences_version: number;
    cursor: string;
};
export type Choices = Record<string, boolean | null>;
export type About = {
    session: string;
    /**
     * of the feed when the user's preferences changed last; 0 if never
     */
    preferences_version: number;
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
export type Welcome = About & Standing;
export type News = {
    type: 'notifications';
    /**
     * to be upserted by id
     */
    items: Notification[];
    prev: string;
    /**
     * the items changed while the client was away, and are given as they are now
     */
    replay?: boolean;
    /**
     * the items were edited: they are no news
     */
    changed?: boolean;
};
export type Notifications = News & Standing;
export type Step = {
    type: 'update';
    ids?: string[];
    up_to?: string;
    set: Partial<Record<Field, string | null>>;
    /**
     * beside `acted_at`
     */
    action?: string;
    /**
     * that changed
     */
    preferences?: Choices;
    prev: string;
};
export type Update = Step & Standing;
export type Replayed = {
    type: 'replayed';
    prev: string;
    preferences_version: number;
} & Standing;
export type Reset = {
    type: 'reset';
    reason: string;
    preferences_version: number;
} & Standing;
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
export type Mark = 'seen' | 'read' | 'unread' | 'archive' | 'unarchive';
export type Selection = {
    ids: string[];
} | {
    up_to: string;
    category?: string;
};
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
     * until the next attempt; null if none is planned: until the browser is
     * online or the page is back, or never
     */
    retry_ms: number | null;
    /**
     * the stream has ended: the same request would be refused again
     */
    final: boolean;
};
export type Counted = {
    type: 'counts';
    cursor: string | null;
} & Counts;
export type PreferencesChanged = {
    type: 'preferences';
    preferences_version: number;
};
export type StreamEvent = Connected | Disconnected | Change | Counted | PreferencesChanged | Refusal;
export type Told = StreamEvent | Ok;
export type Tell = (told: Told) => void;
/**
 * @typedef {object} Notification
 * @property {string} id ids are ordered by time
 * @property {string} user_id
 * @property {number} version of two states of a notification, the one with the higher version is newer
 * @property {string} event
 * @property {string} category
 * @property {string | null} title
 * @property {string} message
 * @property {Record<string, unknown>} metadata
 * @property {string | null} action_url
 * @property {string} created_at
 * @property {string | null} seen_at
 * @property {string | null} read_at
 * @property {string | null} archived_at
 * @property {string | null} retracted_at
 * @property {string | null} expires_at
 * @property {string | null} [edited_at]
 * @property {string | null} [acted_at]
 * @property {string | null} [action] the id of the action that the user chose
 * @property {string | null} [snoozed_until]
 * @property {string | null} [woken_at]
 * @property {Severity} [severity] `info` if absent
 * @property {string | null} [image_url]
 * @property {string | null} [icon]
 * @property {Action[]} [actions] at most three
 * @property {string | null} [collapse_key]
 * @property {number} [count] how many notifications it stands for; 1 if absent
 * @property {Actor[]} [actors] the latest three, the newest first
 * @property {number} [actor_count] how many different actors; exact up to 100
 */
/** @typedef {'info' | 'success' | 'warning' | 'critical'} Severity */
/** @typedef {{name: string, id?: string | null, avatar_url?: string | null}} Actor */
/**
 * @typedef {object} Action
 * @property {string} id
 * @property {string} label
 * @property {string | null} [url] where it leads; without one it is answered with `act`
 * @property {'default' | 'primary' | 'danger'} [style]
 */
/**
 * @typedef {'seen_at' | 'read_at' | 'archived_at' | 'retracted_at' | 'acted_at' | 'snoozed_until'
 *   | 'woken_at'} Field
 */
/**
 * @typedef {object} Counts
 * @property {number} unread_count
 * @property {number} unseen_count how many of these are unseen
 * @property {Record<string, number>} unread_in how many are unread in each category that has any
 */
/** @typedef {Counts & {cursor: string}} Standing the counts, which are exact at the cursor */
/**
 * @typedef {object} Listed
 * @property {Notification[]} items newest first
 * @property {string | null} next_cursor for the next page of this list
 */
/** @typedef {Listed & Standing} Page `cursor` is the feed's position: open a stream from it */
/** @typedef {{changed: number} & Standing} Marked */
/**
 * @typedef {object} CategoryPreference
 * @property {string} id
 * @property {string | null} title
 * @property {string | null} description
 * @property {boolean} enabled whether the user gets notifications of this category
 * @property {boolean} mandatory it cannot be switched off
 * @property {boolean | null} chosen by the user; null: the default applies
 */
/** @typedef {{categories: CategoryPreference[], preferences_version: number, cursor: string}} Preferences */
/** @typedef {Record<string, boolean | null>} Choices by category; null goes back to the default */
/**
 * @typedef {object} About
 * @property {string} session
 * @property {number} preferences_version of the feed when the user's preferences changed last; 0 if never
 * @property {number} ping_interval seconds
 * @property {number} token_expires_in seconds
 * @property {boolean} resumed
 * @property {string} server
 */
/** @typedef {About & Standing} Welcome */
/**
 * @typedef {object} News
 * @property {'notifications'} type
 * @property {Notification[]} items to be upserted by id
 * @property {string} prev
 * @property {boolean} [replay] the items changed while the client was away, and are given as they are now
 * @property {boolean} [changed] the items were edited: they are no news
 */
/** @typedef {News & Standing} Notifications */
/**
 * @typedef {object} Step
 * @property {'update'} type
 * @property {string[]} [ids]
 * @property {string} [up_to]
 * @property {Partial<Record<Field, string | null>>} set
 * @property {string} [action] beside `acted_at`
 * @property {Choices} [preferences] that changed
 * @property {string} prev
 */
/** @typedef {Step & Standing} Update */
/**
 * The catch-up is complete. `prev`, which the client adds, is the cursor from which it last resumed.
 * @typedef {{type: 'replayed', prev: string, preferences_version: number} & Standing} Replayed
 */
/** @typedef {{type: 'reset', reason: string, preferences_version: number} & Standing} Reset */
/** @typedef {Notifications | Update | Replayed | Reset} Change */
/** @typedef {{type: 'ok', ref: string, changed: number}} Ok */
/** @typedef {{type: 'error', ref: string | null, code: string, detail: string, temporary: boolean}} Refusal */
/** @typedef {{type: 'bye', code: number, reason: string, retry_ms: number | null, resume: boolean}} Bye */
/** @typedef {{type: 'welcome'} & Welcome} WelcomeFrame */
/** @typedef {{type: 'ping'}} Ping */
/** @typedef {WelcomeFrame | Notifications | Update | Replayed | Reset | Ok | Refusal | Bye | Ping} Frame */
/** @typedef {'seen' | 'read' | 'unread' | 'archive' | 'unarchive'} Mark */
/** @typedef {{ids: string[]} | {up_to: string, category?: string}} Selection */
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
/** @typedef {{type: 'counts', cursor: string | null} & Counts} Counted */
/** @typedef {{type: 'preferences', preferences_version: number}} PreferencesChanged */
/**
 * The events of a stream. Frames of the service are passed on unchanged; one whose type the client does not
 * know, but which moves the feed, becomes an update that changes nothing.
 * @typedef {Connected | Disconnected | Change | Counted | PreferencesChanged | Refusal} StreamEvent
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
 * Whether a cursor has another epoch, or is newer.
 * @param {string} cursor
 * @param {string} than
 */
export declare const isAfter: (cursor: string, than: string) => boolean;
/**
 * @param {Counts} from
 * @returns {Counts}
 */
export declare const countsOf: ({ unread_count, unseen_count, unread_in }: Counts) => Counts;
/**
 * The version of the preferences after a frame, if it says.
 * @param {Welcome | Change} frame
 */
export declare const preferencesOf: (frame: Welcome | Change) => number | undefined;
/**
 * The part of a frame that is new at a position: all of it, some of it, or nothing (null). 'hole' if
 * something between the two is missing.
 * @template {Notifications | Update | Replayed} F
 * @param {string | null} position
 * @param {F} frame
 * @returns {F | null | 'hole'}
 */
export declare function newPart<F extends Notifications | Update | Replayed>(position: string | null, frame: F): F | null | 'hole';
