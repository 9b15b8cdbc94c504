/** A request or a command that the service refused, or could not answer. */
export declare class BellwireError extends Error {
    /** What to compare: the end of a problem's `type`, an error frame's `code`, or a close code. */
    code: string;
    /** The status of the answer over HTTP; null if there was none. */
    status: number | null;
    /** Whether the same again may succeed. */
    temporary: boolean;
    /** Milliseconds after which the service asked to be tried again; 0 if it did not say. */
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
