import { pauseAfter } from './backoff.js';
import { BellwireError } from './errors.js';

const TIMEOUT_MS = 10_000;
const PATIENCE_MS = 30_000;
/** The service says that it is unavailable, or a proxy in front of it does. */
const AWAY = [502, 503, 504];

/** @param {string} user */
export const pathOf = (user) => `/v1/users/${encodeURIComponent(user)}`;

/**
 * @typedef {{status?: 'unread' | 'read' | 'archived' | 'snoozed' | 'all', category?: string | string[],
 *   event?: string, limit?: number, cursor?: string, signal?: AbortSignal}} Query
 */

/** HTTP requests, with a token that is kept until it is refused. */
export class Api {
  #base;
  #place;
  #ask;
  /** @type {string | null} */
  #token = null;
  /** @type {Promise<string> | null} */
  #asking = null;

  /**
   * @param {string} url
   * @param {() => string | Promise<string>} token
   * @param {import('./environment.js').Place} place
   */
  constructor(url, token, place) {
    this.#base = url.replace(/\/+$/, '');
    this.#ask = token;
    this.#place = place;
  }

  /** @param {string} path */
  socketUrl(path) {
    return this.#base.replace(/^http/, 'ws') + path;
  }

  /** The kept token, or a new one. Rejects with the error of the application's function. */
  async token() {
    if (this.#token !== null) return this.#token;
    this.#asking ??= (async () => this.#ask())().finally(() => (this.#asking = null));
    return (this.#token = await this.#asking);
  }

  /**
   * Get another token next time, unless the refused one has been replaced meanwhile.
   * @param {string | null} refused
   */
  forget(refused) {
    if (this.#token === refused) this.#token = null;
  }

  /**
   * Get a ticket for a socket, and the token that it stands for.
   * @returns {Promise<{ticket: string, expires_in: number, token: string}>}
   */
  async ticket() {
    const { answer, token } = await this.#request('POST', '/v1/stream-tickets', {});
    return { ...answer, token };
  }

  /**
   * Make a request, and the same again while the service is unavailable, for 30 s. None does harm twice.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async request(method, path, body, signal) {
    const { answer } = await this.again(() => this.#request(method, path, body, signal), signal);
    return answer;
  }

  /**
   * Get a page of a user's notifications.
   * @param {string} user
   * @param {Query} [query]
   * @returns {Promise<import('./protocol.js').Page>}
   */
  notifications(user, { signal, ...query } = {}) {
    const given = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) for (const one of [value ?? []].flat()) given.append(name, String(one));
    return this.request('GET', `${pathOf(user)}/notifications?${given}`, undefined, signal);
  }

  /**
   * @param {string} user
   * @returns {Promise<import('./protocol.js').Preferences>}
   */
  preferences(user) {
    return this.request('GET', `${pathOf(user)}/preferences`);
  }

  /**
   * @param {string} user
   * @param {import('./protocol.js').Choices} categories
   * @returns {Promise<import('./protocol.js').Preferences>}
   */
  setPreferences(user, categories) {
    return this.request('PUT', `${pathOf(user)}/preferences`, { categories });
  }

  /**
   * Repeat what fails with a 502, 503 or 504 or without an answer, for 30 s.
   * @template T
   * @param {() => Promise<T>} attempt
   * @param {AbortSignal} [signal]
   * @returns {Promise<T>}
   */
  async again(attempt, signal) {
    const { now, random, setTimeout } = this.#place;
    const until = now() + PATIENCE_MS;
    for (let attempts = 0; ; attempts++) {
      try {
        return await attempt();
      } catch (error) {
        const away = error instanceof BellwireError && (AWAY.includes(error.status ?? 0) || error.code === 'unreachable');
        const pause = away ? pauseAfter(attempts, error.retryMs, random) : 0;
        if (!away || now() + pause > until) throw error;
        await new Promise((over) => setTimeout(() => over(undefined), pause));
        signal?.throwIfAborted();
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {AbortSignal} [signal]
   */
  async #request(method, path, body, signal) {
    let token = await this.token();
    let response = await this.#send(method, path, token, body, signal);
    if (response.status === 401) {
      this.forget(token);
      token = await this.token();
      response = await this.#send(method, path, token, body, signal);
    }
    if (!response.ok) throw await problem(response);
    return { answer: await reached(() => response.json(), signal), token };
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {string} token
   * @param {unknown} body
   * @param {AbortSignal} [signal]
   */
  #send(method, path, token, body, signal) {
    /** @type {Record<string, string>} */
    const headers = { Accept: 'application/json', Authorization: `Bearer ${token}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const given = { method, headers, body: JSON.stringify(body) };
    return reached(() => {
      const signals = signal ? [signal, timeout] : [timeout];
      return this.#place.fetch(this.#base + path, { ...given, signal: AbortSignal.any(signals) });
    }, signal);
  }
}

/**
 * Do what needs the network. Rejects with BellwireError if it fails, or the reason of the caller's signal.
 * @template T
 * @param {() => Promise<T>} work
 * @param {AbortSignal} [signal]
 */
async function reached(work, signal) {
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    throw new BellwireError(reason, { code: 'unreachable', temporary: true });
  }
}

/**
 * Make an error of a response: RFC 9457 from Bellwire; a proxy may send anything.
 * @param {Response} response
 */
async function problem(response) {
  const { status } = response;
  const isProblem = (response.headers.get('Content-Type') ?? '').startsWith('application/problem+json');
  const { type = '', detail = `The answer is ${status}.` } = isProblem ? await response.json() : {};
  return new BellwireError(detail, {
    code: type.slice(type.lastIndexOf(':') + 1) || 'http',
    status,
    temporary: status >= 500 || status === 408 || status === 429,
    retryMs: 1000 * (Number(response.headers.get('Retry-After')) || 0),
  });
}
