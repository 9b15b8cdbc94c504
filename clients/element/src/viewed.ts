const LONG_ENOUGH_MS = 1_500;

/** Which rows a person has looked at: they were in sight for 1.5 s without a break. */
export class Viewed {
  #since = new Map<string, number>();

  /** A row came into sight, or left it. */
  mark(id: string, inSight: boolean, now: number): void {
    if (!inSight) this.#since.delete(id);
    else if (!this.#since.has(id)) this.#since.set(id, now);
  }

  /** The page itself was out of sight: all that were not told begin anew. */
  restart(now: number): void {
    for (const [id, since] of this.#since) if (since < Infinity) this.#since.set(id, now);
  }

  clear(): void {
    this.#since.clear();
  }

  /** Those that were in sight for long enough; each is told once, until it comes into sight again. */
  take(now: number): string[] {
    const ids = [...this.#since].filter(([, since]) => now - since >= LONG_ENOUGH_MS).map(([id]) => id);
    for (const id of ids) this.#since.set(id, Infinity);
    return ids;
  }

  /** How long until the next may be due; null if there is none. */
  wait(now: number): number | null {
    const times = [...this.#since.values()].filter(Number.isFinite);
    return times.length ? Math.max(0, Math.min(...times) + LONG_ENOUGH_MS - now) : null;
  }
}
