import { pauseAfter } from './backoff.js';
import { BellwireError } from './errors.js';
import { countsOf, newPart, preferencesOf } from './protocol.js';

const SUBPROTOCOL = 'bellwire.v1';
/** After a connection that lasted this long, pauses begin short again. */
const STABLE_MS = 30_000;
const WELCOME_MS = 20_000;
const GRACE_MS = 10_000;
const REFRESH_BEFORE_SECONDS = 60;
/** With less time left it is simpler to be closed and to reconnect. */
const REFRESH_AT_LEAST_SECONDS = 5;
const TOKEN_EXPIRED = 4004;
const INVALID_TOKEN = 4511;
const REFRESH = 'refresh';

/** @typedef {import('./protocol.js').Frame} Frame */

/** One socket at a time on a user's feed, replaced by another when it is lost. */
export class Connection {
  #api;
  #place;
  #user;
  #view;
  #tell;
  /** @type {string | null} */
  #cursor;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {import('./protocol.js').Connected | null} */
  #connected = null;
  /** The number of the current attempt: results of earlier ones are ignored. */
  #attempt = {};
  #attempts = 0;
  #renewed = false;
  #heardAt = 0;
  #welcomedAt = 0;
  #patience = WELCOME_MS;
  /** @type {import('./protocol.js').Bye | null} */
  #bye = null;
  /** @type {string | null} */
  #token = null;
  /** How far the service's clock is ahead of ours, in seconds; it decides when a token expires. */
  #ahead = NaN;
  /** @type {any} */
  #silence;
  /** @type {any} */
  #retry;
  /** @type {any} */
  #refresh;
  #listening = new AbortController();

  /**
   * @param {object} parts
   * @param {import('./api.js').Api} parts.api
   * @param {import('./environment.js').Place} parts.place
   * @param {string} parts.user
   * @param {'manual' | 'auto'} parts.view
   * @param {string | null} parts.cursor
   * @param {import('./protocol.js').Tell} parts.tell
   */
  constructor({ api, place, user, view, cursor, tell }) {
    this.#api = api;
    this.#place = place;
    this.#user = user;
    this.#view = view;
    this.#cursor = cursor;
    this.#tell = tell;
  }

  /** The welcome, with the current cursor and count; null while it is not connected. */
  get connected() {
    return this.#connected;
  }

  start() {
    const { page } = this.#place;
    const options = { signal: this.#listening.signal };
    page?.addEventListener('online', () => this.#online(), options);
    page?.addEventListener('offline', () => this.#offline(), options);
    this.#connect();
  }

  stop() {
    this.#listening.abort();
    this.#abandon();
  }

  /**
   * Send a frame if connected. Callers send again after a reconnect what was not answered.
   * @param {object} frame
   */
  send(frame) {
    if (this.#connected) this.#socket?.send(JSON.stringify(frame));
  }

  /**
   * Reconnect from an earlier cursor, if connected: a stream has missed what came since.
   * @param {string} cursor
   */
  rewind(cursor) {
    this.#cursor = cursor;
    this.#lost('Going back to an earlier cursor', 0);
  }

  /** The page is visible: wait neither for the next attempt nor for timers that hidden pages delay. */
  hurry() {
    if (this.#isOffline()) return;
    if (this.#retry !== undefined) this.#connect();
    else if (this.#place.now() - this.#heardAt > this.#patience) this.#silent();
  }

  // --- connecting ---

  async #connect() {
    const attempt = this.#begin();
    if (this.#isOffline()) return this.#offline();
    // A request that is never answered must not block the stream forever.
    this.#hear(WELCOME_MS);
    try {
      const { ticket, token } = await this.#api.ticket();
      if (attempt !== this.#attempt) return;
      this.#token = token;
      this.#open(ticket);
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error);
    }
  }

  /** @param {string} ticket */
  #open(ticket) {
    const query = new URLSearchParams({ ticket, view: this.#view });
    if (this.#cursor !== null) query.set('cursor', this.#cursor);
    const url = this.#api.socketUrl(`/ws/${encodeURIComponent(this.#user)}?${query}`);
    const Socket = /** @type {typeof WebSocket} */ (this.#place.WebSocket);
    const socket = new Socket(url, SUBPROTOCOL);
    this.#socket = socket;
    this.#hear(WELCOME_MS);
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(data);
    };
    // The close event that follows has all information; but in Node an error must have a listener.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#closed(code, reason);
    };
  }

  /** @param {unknown} error */
  #failed(error) {
    const reason = error instanceof Error ? error.message : String(error);
    const refused = error instanceof BellwireError && !error.temporary;
    if (refused) return this.#end(null, reason);
    return this.#lost(reason, undefined, null, error instanceof BellwireError ? error.retryMs : 0);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #closed(code, reason) {
    const bye = this.#bye;
    const [why, said] = bye ? [bye.code, bye.reason] : [code, reason];
    if (why === TOKEN_EXPIRED || why === INVALID_TOKEN) this.#api.forget(this.#token);
    const again = why === INVALID_TOKEN && !this.#renewed;
    this.#renewed ||= again;
    if (why >= 4500 && why <= 4999 && !again) return this.#end(why, said);
    return this.#lost(said, undefined, why, bye?.retry_ms ?? 0);
  }

  /**
   * Drop the connection, and try again.
   * @param {string} reason
   * @param {number} [pause] milliseconds; from the back-off by default
   * @param {number | null} [code]
   * @param {number} [retryMs]
   */
  #lost(reason, pause, code = null, retryMs = 0) {
    if (this.#connected && this.#place.now() - this.#welcomedAt >= STABLE_MS) this.#attempts = 0;
    this.#abandon();
    this.#wait(code, reason, pause ?? pauseAfter(this.#attempts++, retryMs, this.#place.random));
  }

  /**
   * @param {number | null} code
   * @param {string} reason
   * @param {number | null} pause milliseconds; null: wait for the browser
   */
  #wait(code, reason, pause) {
    if (pause !== null) this.#retry = this.#place.setTimeout(() => this.#connect(), pause);
    this.#tell({ type: 'disconnected', code, reason, retry_ms: pause, final: false });
  }

  /**
   * @param {number | null} code
   * @param {string} reason
   */
  #end(code, reason) {
    this.stop();
    this.#tell({ type: 'disconnected', code, reason, retry_ms: null, final: true });
  }

  #begin() {
    this.#place.clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#bye = null;
    return (this.#attempt = {});
  }

  #abandon() {
    this.#place.clearTimeout(this.#silence);
    this.#place.clearTimeout(this.#refresh);
    this.#begin();
    const socket = this.#socket;
    this.#socket = null;
    this.#connected = null;
    socket?.close();
  }

  // --- browser events ---

  #isOffline() {
    return this.#place.navigator?.onLine === false;
  }

  /** Its sockets would only fall silent, much later. */
  #offline() {
    this.#abandon();
    this.#wait(null, 'The browser is offline', null);
  }

  #online() {
    // Usually on another network, where a socket of the previous one would only fall silent.
    if (this.#socket) this.#lost('The browser is online again', 0);
    else this.#connect();
  }

  // --- receiving ---

  /** @param {number} [patience] milliseconds of silence after which the connection counts as lost */
  #hear(patience = this.#patience) {
    this.#patience = patience;
    this.#heardAt = this.#place.now();
    this.#place.clearTimeout(this.#silence);
    this.#silence = this.#place.setTimeout(() => this.#silent(), patience);
  }

  #silent() {
    this.#lost('Nothing was heard');
  }

  /** @param {string} text */
  #receive(text) {
    this.#hear();
    const frame = /** @type {Frame} */ (JSON.parse(text));
    switch (frame.type) {
      case 'welcome':
        return this.#welcome(frame);
      case 'ping':
        return this.send({ type: 'pong' });
      case 'bye':
        this.#bye = frame;
        return;
      case 'notifications':
      case 'update':
        if (frame.prev !== this.#cursor) return this.#outOfLine(frame);
        return this.#forward(frame);
      case 'replayed':
        return this.#forward({ ...frame, prev: this.#cursor ?? frame.cursor });
      case 'reset':
        return this.#forward(frame);
      case 'ok':
      case 'error':
        return this.#tell(frame);
      default:
        return this.#step(frame);
    }
  }

  /**
   * A frame of a later release. If it moves the feed from here, it is a change of something unknown.
   * @param {Partial<import('./protocol.js').Update>} frame
   */
  #step({ prev, cursor, ...frame }) {
    if (prev === undefined || cursor === undefined || prev !== this.#cursor || !this.#connected) return;
    this.#forward({ ...countsOf(this.#connected), ...frame, type: 'update', ids: [], set: {}, prev, cursor });
  }

  /** @param {import('./protocol.js').WelcomeFrame} frame */
  #welcome({ type, ...welcome }) {
    const reset = this.#cursor !== null && !welcome.resumed;
    this.#cursor ??= welcome.cursor;
    this.#connected = { type: 'connected', reset, ...welcome };
    this.#welcomedAt = this.#place.now();
    this.#renewed = false;
    this.#hear(1000 * welcome.ping_interval + GRACE_MS);
    this.#ahead = expiry(this.#token) - welcome.token_expires_in - this.#place.now() / 1000;
    this.#planRefresh(welcome.token_expires_in);
    this.#tell(this.#connected);
  }

  /** @param {import('./protocol.js').Notifications | import('./protocol.js').Update} frame */
  #outOfLine(frame) {
    if (newPart(this.#cursor, frame) === null) return;
    this.#lost('A frame does not follow the last one');
  }

  /** @param {import('./protocol.js').Change} frame */
  #forward(frame) {
    this.#cursor = frame.cursor;
    if (this.#connected) {
      const preferences_version = preferencesOf(frame) ?? this.#connected.preferences_version;
      const { cursor } = frame;
      this.#connected = { ...this.#connected, ...countsOf(frame), preferences_version, cursor };
    }
    this.#tell(frame);
  }

  // --- the token ---

  /** @param {number} seconds for which the token is still valid */
  #planRefresh(seconds) {
    this.#place.clearTimeout(this.#refresh);
    if (!(seconds >= REFRESH_AT_LEAST_SECONDS)) return;
    const wait = seconds > 2 * REFRESH_BEFORE_SECONDS ? seconds - REFRESH_BEFORE_SECONDS : seconds / 2;
    // A stream does not last longer than a timer can be set for (2^31 ms).
    this.#refresh = this.#place.setTimeout(() => this.#renew(), Math.min(1000 * wait, 2 ** 31 - 1));
  }

  async #renew() {
    const attempt = this.#attempt;
    const old = this.#token;
    this.#api.forget(old);
    const token = await this.#api.token().catch(() => old); // tried again, sooner each time
    if (attempt !== this.#attempt) return;
    // The answer is not awaited: a refused token is replaced when the stream ends because it has expired.
    if (token !== old) this.send({ type: 'refresh', token, ref: REFRESH });
    this.#token = token;
    this.#planRefresh(expiry(token) - this.#ahead - this.#place.now() / 1000);
  }
}

/**
 * When a JSON Web Token expires, in seconds of its issuer's clock; NaN if it does not say.
 * @param {string | null} token
 */
function expiry(token) {
  try {
    const claims = (token ?? '').split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
    return Number(JSON.parse(atob(claims)).exp);
  } catch {
    return NaN; // not a JSON Web Token: it is valid until the service refuses it
  }
}
