/** A request or a command that the service refused, or could not answer. */
export class BellwireError extends Error {
  /**
   * @param {string} message for people
   * @param {{code: string, status?: number | null, temporary?: boolean, retryMs?: number}} about
   */
  constructor(message, { code, status = null, temporary = false, retryMs = 0 }) {
    super(message);
    this.name = 'BellwireError';
    /** What to compare: the end of a problem's `type`, an error frame's `code`, or a close code. */
    this.code = code;
    /** The status of the answer over HTTP; null if there was none. */
    this.status = status;
    /** Whether the same again may succeed. */
    this.temporary = temporary;
    /** Milliseconds after which the service asked to be tried again; 0 if it did not say. */
    this.retryMs = retryMs;
  }
}
