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
  const { WebSocket, BroadcastChannel, document, navigator } = globals;
  /** @type {any} */
  const place = { WebSocket, BroadcastChannel, document, navigator, locks: navigator?.locks, now: Date.now, random: Math.random };
  if (globals.addEventListener) place.page = globals;
  // They are called as methods of the place.
  for (const name of ['fetch', 'setTimeout', 'clearTimeout']) place[name] = globals[name].bind(globals);
  for (const [name, own] of Object.entries(given)) place[name] = own ?? place[name];
  return place;
}
