export type Message = {
    kind: 'hello';
    from: string;
} | {
    kind: 'rewind';
    from: string;
    cursor: string;
} | {
    kind: 'send';
    frame: object;
} | {
    kind: 'hurry';
} | {
    kind: 'told';
    to?: string;
    told: import('./protocol.js').Told;
};
/**
 * @typedef {{kind: 'hello', from: string} | {kind: 'rewind', from: string, cursor: string}
 *   | {kind: 'send', frame: object} | {kind: 'hurry'}
 *   | {kind: 'told', to?: string, told: import('./protocol.js').Told}} Message
 */
/**
 * One connection for all tabs of an origin that follow the same user: the tab that holds the lock has it and
 * passes on what it receives. When that tab closes, the browser gives the lock to the next.
 */
export declare class Shared {
    #private;
    /**
     * @param {object} parts
     * @param {Pick<LockManager, 'request'>} parts.locks
     * @param {BroadcastChannel} parts.channel of the tabs that share; the lock has the same name
     * @param {string} parts.id of this stream
     * @param {(tell: import('./protocol.js').Tell) => import('./connection.js').Connection} parts.connect
     * @param {import('./protocol.js').Tell} parts.tell
     */
    constructor({ locks, channel, id, connect, tell }: {
        locks: Pick<LockManager, 'request'>;
        channel: BroadcastChannel;
        id: string;
        connect: (tell: import('./protocol.js').Tell) => import('./connection.js').Connection;
        tell: import('./protocol.js').Tell;
    });
    start(): Promise<void>;
    stop(): void;
    /** @param {object} frame */
    send(frame: object): void;
    /** @param {string} cursor */
    rewind(cursor: string): void;
    hurry(): void;
}
