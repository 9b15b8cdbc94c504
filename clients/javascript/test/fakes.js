// A clock, a service and a browser whose every move the test decides.

/** Time that passes when it is told to. */
export class Clock {
  time = 1_000_000;
  #timers = new Map();
  #last = 0;

  now = () => this.time;

  setTimeout = (work, milliseconds) => {
    this.#timers.set(++this.#last, { work, at: this.time + milliseconds });
    return this.#last;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  get pending() {
    return this.#timers.size;
  }

  /** Let time pass; what is due runs in its turn, with everything that follows from it at once. */
  async pass(milliseconds) {
    const until = this.time + milliseconds;
    await settled();
    for (let next = this.#next(until); next; next = this.#next(until)) {
      const [timer, { work, at }] = next;
      this.#timers.delete(timer);
      this.time = Math.max(this.time, at);
      work();
      await settled();
    }
    this.time = until;
  }

  #next(until) {
    const due = [...this.#timers].filter(([, { at }]) => at <= until);
    return due.sort(([one, { at }], [other, { at: otherAt }]) => at - otherAt || one - other)[0];
  }
}

/** Until every promise that can be kept has been. */
export async function settled() {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** An API whose answers and sockets are in the test's hands. */
export class Service {
  sockets = [];
  requests = [];
  tokens = [];
  /** What is answered to requests from now on: a function of the request, or nothing for the usual. */
  answer = null;

  constructor(clock) {
    const service = this;
    this.clock = clock;
    this.WebSocket = class {
      sent = [];
      closed = false;
      onmessage = null;
      onclose = null;

      constructor(url, protocol) {
        this.url = new URL(url);
        this.protocol = protocol;
        service.sockets.push(this);
      }

      send(text) {
        this.sent.push(JSON.parse(text));
      }

      close() {
        this.closed = true;
      }
    };
  }

  /** The socket that was opened last, as the service has it. */
  get socket() {
    const socket = this.sockets.at(-1);
    return {
      url: socket.url,
      query: Object.fromEntries(socket.url.searchParams),
      protocol: socket.protocol,
      sent: socket.sent,
      get closed() {
        return socket.closed;
      },
      tell: (...frames) => {
        for (const frame of frames) socket.onmessage({ data: JSON.stringify(frame) });
      },
      end: (code = 1006, reason = '') => socket.onclose({ code, reason }),
      bye: (code, retry_ms = null) => {
        const resume = code < 4500;
        socket.onmessage({ data: JSON.stringify({ type: 'bye', code, reason: 'so', retry_ms, resume }) });
        socket.onclose({ code, reason: 'so' });
      },
    };
  }

  /** A token that is valid for an hour; its issuer has another clock than ours. */
  token = () => {
    const exp = Math.floor(this.clock.time / 1000) + 50_000 + 3600;
    const token = `e30.${btoa(JSON.stringify({ sub: 'ada', exp, n: this.tokens.length }))}.x`;
    this.tokens.push(token);
    return token;
  };

  fetch = async (url, { method, headers, body }) => {
    const request = { method, url, token: headers.Authorization, body: body && JSON.parse(body) };
    this.requests.push(request);
    const [status, answer, more = {}] = this.answer?.(request) ?? [200, this.#usual(request)];
    const type = status < 400 ? 'application/json' : 'application/problem+json';
    return new Response(JSON.stringify(answer), { status, headers: { 'Content-Type': type, ...more } });
  };

  #usual({ url }) {
    return url.endsWith('/v1/stream-tickets') ? { ticket: `t${this.requests.length}`, expires_in: 30 } : {};
  }
}

export const cursor = (version, epoch = 'e1') => `${epoch}.${version}`;

/** Counts of which all are unseen, and of one category. */
export const counts = (number) => ({
  unread_count: number,
  unseen_count: number,
  unread_in: number > 0 ? { test: number } : {},
});

/** The last page of a list. */
export const pageOf = (version, ...items) => ({
  items,
  next_cursor: null,
  cursor: cursor(version),
  ...counts(items.length),
});

export const welcome = (version, more = {}) => ({
  type: 'welcome',
  session: 's',
  cursor: cursor(version),
  ...counts(more.unread_count ?? 0),
  preferences_version: 0,
  ping_interval: 25,
  token_expires_in: 3600,
  resumed: false,
  server: 'x',
  ...more,
});

export const item = (version, more = {}) => ({
  id: `n${String(version).padStart(4, '0')}`,
  user_id: 'ada',
  version,
  event: 'test.sent',
  category: 'test',
  title: null,
  message: `message ${version}`,
  metadata: {},
  action_url: null,
  created_at: '2026-11-22T10:00:00Z',
  seen_at: null,
  read_at: null,
  archived_at: null,
  retracted_at: null,
  expires_at: null,
  ...more,
});

/** Notifications that bring the feed from one version to another. */
export const news = (from, to, more = {}) => ({
  type: 'notifications',
  items: Array.from({ length: to - from }, (_, index) => item(from + 1 + index)),
  prev: cursor(from),
  cursor: cursor(to),
  ...counts(more.unread_count ?? to),
  ...more,
});

/** Web Locks of one origin, exclusive locks only: https://www.w3.org/TR/web-locks/ */
export class Locks {
  #queues = new Map();

  request = (name, { signal }, work) =>
    new Promise((resolve, reject) => {
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      const entry = { work, resolve, reject, held: false };
      queue.push(entry);
      signal.addEventListener('abort', () => {
        if (entry.held) return;
        queue.splice(queue.indexOf(entry), 1);
        reject(signal.reason);
      });
      setImmediate(() => this.#grant(queue));
    });

  async #grant(queue) {
    const [first] = queue;
    if (!first || first.held) return;
    first.held = true;
    try {
      first.resolve(await first.work());
    } catch (error) {
      first.reject(error);
    }
    queue.splice(queue.indexOf(first), 1);
    this.#grant(queue);
  }
}

/** BroadcastChannels of one origin, which lose what is posted while `lossy` is set. */
export function channels() {
  const open = new Set();
  return class Channel {
    static lossy = false;
    onmessage = null;

    constructor(name) {
      this.name = name;
      open.add(this);
    }

    postMessage(data) {
      if (!open.has(this)) throw new DOMException('closed', 'InvalidStateError');
      if (Channel.lossy) return;
      const copy = structuredClone(data);
      for (const other of open) {
        if (other === this || other.name !== this.name) continue;
        setImmediate(() => open.has(other) && other.onmessage?.({ data: copy }));
      }
    }

    close() {
      open.delete(this);
    }
  };
}

/** A page: what it says of the network and of itself. */
export class Page extends EventTarget {
  navigator = { onLine: true };
  document = Object.assign(new EventTarget(), { visibilityState: 'visible' });

  says(type) {
    this.dispatchEvent(new Event(type));
  }

  online(onLine) {
    this.navigator.onLine = onLine;
    this.says(onLine ? 'online' : 'offline');
  }

  visible(visible) {
    this.document.visibilityState = visible ? 'visible' : 'hidden';
    this.document.dispatchEvent(new Event('visibilitychange'));
  }
}
