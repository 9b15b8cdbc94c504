// The messages, with their names on the wire: docs/live-stream.md and docs/http-api.md of Bellwire.

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
export const versionOf = (cursor) => Number(cursor.slice(cursor.lastIndexOf('.') + 1));

/** @param {string} cursor */
export const epochOf = (cursor) => cursor.slice(0, cursor.lastIndexOf('.'));

/**
 * Whether a cursor has the same epoch, and is earlier.
 * @param {string} cursor
 * @param {string} than
 */
export const isBehind = (cursor, than) =>
  epochOf(cursor) === epochOf(than) && versionOf(cursor) < versionOf(than);

/**
 * The part of a frame that is new at a position: all of it, some of it, or nothing (null). 'hole' if
 * something between the two is missing.
 * @template {Notifications | Update | Replayed} F
 * @param {string | null} position
 * @param {F} frame
 * @returns {F | null | 'hole'}
 */
export function newPart(position, frame) {
  if (position === null || frame.prev === position) return frame;
  if (epochOf(frame.cursor) !== epochOf(position)) return 'hole';
  if (versionOf(frame.cursor) <= versionOf(position)) return null;
  if (versionOf(frame.prev) > versionOf(position)) return 'hole';
  const known = versionOf(position);
  if (frame.type === 'notifications') {
    return { ...frame, prev: position, items: frame.items.filter((item) => item.version > known) };
  }
  if (frame.type === 'replayed' || !frame.ids) return { ...frame, prev: position };
  return { ...frame, prev: position, ids: frame.ids.slice(known - versionOf(frame.prev)) };
}
