import { BellwireError } from './errors.js';

const TIMEOUT_MS = 10_000;

/** HTTP requests, with a token that is kept until it is refused. */
export class Api {
  #base;
  #fetch;
  #ask;
  /** @type {string | null} */
  #token = null;
  /** @type {Promise<string> | null} */
  #asking = null;

  /**
   * @param {string} url
   * @param {() => string | Promise<string>} token
   * @param {typeof globalThis.fetch} fetch
   */
  constructor(url, token, fetch) {
    this.#base = url.replace(/\/+$/, '');
    this.#ask = token;
    this.#fetch = fetch;
  }

  /** @param {string} path */
  socketUrl(path) {
    return this.#base.replace(/^http/, 'ws') + path;
  }

  /** The kept token, or a new one. Rejects with the error of the application's function. */
  async token() {
    if (this.#token !== null) return this.#token;
    this.#asking ??= Promise.resolve(this.#ask()).finally(() => {
      this.#asking = null;
    });
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
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async request(method, path, body, signal) {
    return (await this.#request(method, path, body, signal)).answer;
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
    return { answer: await response.json(), token };
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
    return this.#fetch(this.#base + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
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
