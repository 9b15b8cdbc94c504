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
export type Environment = {
    /**
     * required in Node before 22
     */
    WebSocket?: typeof globalThis.WebSocket;
    fetch?: typeof globalThis.fetch;
    setTimeout?: (work: () => void, milliseconds: number) => any;
    clearTimeout?: (timer: any) => void;
    /**
     * milliseconds; only differences count
     */
    now?: () => number;
    /**
     * from 0 to 1
     */
    random?: () => number;
    locks?: Pick<LockManager, 'request'>;
    BroadcastChannel?: typeof globalThis.BroadcastChannel;
    /**
     * hears `online`, `offline`, `pagehide` and `pageshow`
     */
    page?: EventTarget;
    document?: EventTarget & {
        visibilityState?: string;
    };
    navigator?: {
        onLine?: boolean;
    };
};
export type Lacking = 'WebSocket' | 'locks' | 'BroadcastChannel' | 'page' | 'document' | 'navigator';
export type Place = Required<Omit<Environment, Lacking>> & Pick<Environment, Lacking>;
/** @typedef {'WebSocket' | 'locks' | 'BroadcastChannel' | 'page' | 'document' | 'navigator'} Lacking */
/**
 * An environment may lack what does not exist everywhere.
 * @typedef {Required<Omit<Environment, Lacking>> & Pick<Environment, Lacking>} Place
 */
/**
 * @param {Environment} given
 * @returns {Place}
 */
export declare function environment(given: Environment): Place;
