/**
 * What the client needs from its environment. Each is the global object unless another is given.
 * @typedef {object} Environment
 * @property {typeof globalThis.WebSocket} [WebSocket] required in Node before 22
 * @property {typeof globalThis.fetch} [fetch]
 * @property {(work: () => void, milliseconds: number) => any} [setTimeout]
 * @property {(timer: any) => void} [clearTimeout]
 * @property {() => number} [now] milliseconds; only differences count
 * @property {() => number} [random] from 0 to 1
 * @property {Pick<LockManager, 'request'>} [locks]
 * @property {typeof globalThis.BroadcastChannel} [BroadcastChannel]
 * @property {EventTarget} [page] hears `online`, `offline`, `pagehide` and `pageshow`
 * @property {EventTarget & {visibilityState?: string}} [document]
 * @property {{onLine?: boolean}} [navigator]
 */

/** @typedef {'WebSocket' | 'locks' | 'BroadcastChannel' | 'page' | 'document' | 'navigator'} Lacking */

/**
 * An environment may lack what does not exist everywhere.
 * @typedef {Required<Omit<Environment, Lacking>> & Pick<Environment, Lacking>} Place
 */

/**
 * @param {Environment} given
 * @returns {Place}
 */
export function environment(given) {
  const globals = /** @type {any} */ (globalThis);
  return {
    WebSocket: given.WebSocket ?? globalThis.WebSocket,
    fetch: given.fetch ?? globalThis.fetch.bind(globalThis),
    setTimeout: given.setTimeout ?? globalThis.setTimeout.bind(globalThis),
    clearTimeout: given.clearTimeout ?? globalThis.clearTimeout.bind(globalThis),
    now: given.now ?? (() => Date.now()),
    random: given.random ?? Math.random,
    locks: given.locks ?? globals.navigator?.locks,
    BroadcastChannel: given.BroadcastChannel ?? globalThis.BroadcastChannel,
    page: given.page ?? (globals.addEventListener ? globals : undefined),
    document: given.document ?? globals.document,
    navigator: given.navigator ?? globals.navigator,
  };
}
