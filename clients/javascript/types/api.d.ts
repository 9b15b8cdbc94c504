/** HTTP requests, with a token that is kept until it is refused. */
export declare class Api {
    #private;
    /**
     * @param {string} url
     * @param {() => string | Promise<string>} token
     * @param {import('./environment.js').Place} place
     */
    constructor(url: string, token: () => string | Promise<string>, place: import('./environment.js').Place);
    /** @param {string} path */
    socketUrl(path: string): string;
    /** The kept token, or a new one. Rejects with the error of the application's function. */
    token(): Promise<string>;
    /**
     * Get another token next time, unless the refused one has been replaced meanwhile.
     * @param {string | null} refused
     */
    forget(refused: string | null): void;
    /**
     * Get a ticket for a socket, and the token that it stands for.
     * @returns {Promise<{ticket: string, expires_in: number, token: string}>}
     */
    ticket(): Promise<{
        ticket: string;
        expires_in: number;
        token: string;
    }>;
    /**
     * Make a request, and the same again while the service is unavailable, for 30 s. None does harm twice.
     * @param {string} method
     * @param {string} path
     * @param {unknown} [body]
     * @param {AbortSignal} [signal]
     * @returns {Promise<any>}
     */
    request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<any>;
    /**
     * Repeat what fails with a 502, 503 or 504 or without an answer, for 30 s.
     * @template T
     * @param {() => Promise<T>} attempt
     * @param {AbortSignal} [signal]
     * @returns {Promise<T>}
     */
    again<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T>;
}
