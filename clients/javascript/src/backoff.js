const MIN_MS = 500;
const MAX_MS = 20_000;

/**
 * How long to wait before the next attempt: full jitter above a minimum, and longer each time. A pause that the
 * service asks for is a minimum too, so that clients that it sends away together do not return together.
 * @param {number} attempts that have failed before the last
 * @param {number} asked milliseconds
 * @param {() => number} random
 */
export function pauseAfter(attempts, asked, random) {
  const bound = Math.min(MAX_MS, 2 * MIN_MS * 2 ** attempts);
  return Math.max(MIN_MS, asked) + random() * (bound - MIN_MS);
}
