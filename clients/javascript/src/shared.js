import { countsOf, epochOf, isBehind } from './protocol.js';

/**
 * @typedef {{kind: 'hello', from: string} | {kind: 'rewind', from: string, cursor: string}
 *   | {kind: 'send', frame: object} | {kind: 'hurry'}
 *   | {kind: 'told', to?: string, told: import('./protocol.js').Told}} Message
 */

/**
 * One connection for all tabs of an origin that follow the same user: the tab that holds the lock has it and
 * passes on what it receives. When that tab closes, the browser gives the lock to the next.
 */
export class Shared {
  #id;
  #locks;
  #channel;
  #connect;
  #tell;
  #waiting = new AbortController();
  /** @type {import('./connection.js').Connection | null} */
  #connection = null;
  /** @type {() => void} */
  #release = () => {};

  /**
   * @param {object} parts
   * @param {Pick<LockManager, 'request'>} parts.locks
   * @param {BroadcastChannel} parts.channel of the tabs that share; the lock has the same name
   * @param {string} parts.id of this stream
   * @param {(tell: import('./protocol.js').Tell) => import('./connection.js').Connection} parts.connect
   * @param {import('./protocol.js').Tell} parts.tell
   */
  constructor({ locks, channel, id, connect, tell }) {
    this.#id = id;
    this.#locks = locks;
    this.#channel = channel;
    this.#connect = connect;
    this.#tell = tell;
  }

  async start() {
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.#post({ kind: 'hello', from: this.#id });
    const { signal } = this.#waiting;
    try {
      await this.#locks.request(this.#channel.name, { signal }, () => this.#lead());
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  stop() {
    this.#waiting.abort();
    this.#connection?.stop();
    this.#channel.close();
    this.#release();
  }

  /** @param {object} frame */
  send(frame) {
    if (this.#connection) this.#connection.send(frame);
    else this.#post({ kind: 'send', frame });
  }

  /** @param {string} cursor */
  rewind(cursor) {
    if (this.#connection) this.#rewind(cursor, this.#id);
    else this.#post({ kind: 'rewind', from: this.#id, cursor });
  }

  hurry() {
    if (this.#connection) this.#connection.hurry();
    else this.#post({ kind: 'hurry' });
  }

  /** @returns {Promise<void>} holds the lock until it settles */
  #lead() {
    const connection = this.#connect((told) => {
      this.#post({ kind: 'told', told });
      this.#tell(told);
    });
    this.#connection = connection;
    const about = { code: null, reason: 'Another tab takes over', retry_ms: 0, final: false };
    this.#post({ kind: 'told', told: { type: 'disconnected', ...about } });
    connection.start();
    return new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  /** @param {Message} message */
  #receive(message) {
    if (message.kind === 'told') {
      const mine = message.to === undefined || message.to === this.#id;
      // A refusal concerns all tabs, even one that got the lock before it received the refusal.
      const final = message.told.type === 'disconnected' && message.told.final;
      if (mine && (!this.#connection || final)) this.#tell(message.told);
    } else if (this.#connection) this.#serve(this.#connection, message);
  }

  /**
   * @param {import('./connection.js').Connection} connection
   * @param {Exclude<Message, {kind: 'told'}>} message
   */
  #serve(connection, message) {
    if (message.kind === 'send') connection.send(message.frame);
    if (message.kind === 'hurry') connection.hurry();
    if (message.kind === 'rewind') this.#rewind(message.cursor, message.from);
    if (message.kind === 'hello' && connection.connected) {
      this.#post({ kind: 'told', to: message.from, told: { ...connection.connected, reset: false } });
    }
  }

  /**
   * Bring a stream up to date that is behind the others, which skip what they have already.
   * @param {string} cursor
   * @param {string} from
   */
  #rewind(cursor, from) {
    const connected = this.#connection?.connected;
    if (!connected) return; // the stream asks again when there is a connection
    const { cursor: current, preferences_version } = connected;
    if (isBehind(cursor, current)) this.#connection?.rewind(cursor);
    else if (epochOf(cursor) !== epochOf(current)) {
      const told = { ...countsOf(connected), preferences_version, cursor: current, reason: 'epoch' };
      this.#post({ kind: 'told', to: from, told: { type: 'reset', ...told } });
    }
  }

  /** @param {Message} message */
  #post(message) {
    this.#channel.postMessage(message);
  }
}
