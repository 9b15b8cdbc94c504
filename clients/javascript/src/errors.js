/** A request or command was refused or could not be answered. */
export class BellwireError extends Error {
  /**
   * @param {string} message for people
   * @param {{code: string, status?: number | null, temporary?: boolean, retryMs?: number}} about
   */
  constructor(message, { code, status = null, temporary = false, retryMs = 0 }) {
    super(message);
    this.name = 'BellwireError';
    /** For comparison: the end of a problem's `type`, an error frame's `code`, or a close code. */
    this.code = code;
    /** The status of the HTTP response; null if there was none. */
    this.status = status;
    /** Whether the same request may succeed later. */
    this.temporary = temporary;
    /** Milliseconds to wait, if the service asked for it; otherwise 0. */
    this.retryMs = retryMs;
  }
}
