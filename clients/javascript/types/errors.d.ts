/** A request or command was refused or could not be answered. */
export declare class BellwireError extends Error {
    /** For comparison: the end of a problem's `type`, an error frame's `code`, or a close code. */
    code: string;
    /** The status of the HTTP response; null if there was none. */
    status: number | null;
    /** Whether the same request may succeed later. */
    temporary: boolean;
    /** Milliseconds to wait, if the service asked for it; otherwise 0. */
    retryMs: number;
    /**
     * @param {string} message for people
     * @param {{code: string, status?: number | null, temporary?: boolean, retryMs?: number}} about
     */
    constructor(message: string, { code, status, temporary, retryMs }: {
        code: string;
        status?: number | null;
        temporary?: boolean;
        retryMs?: number;
    });
}
