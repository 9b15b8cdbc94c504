/**
 * How long to wait before the next attempt: full jitter above a minimum, and longer each time. A pause that the
 * service asks for is a minimum too, so that clients that it sends away together do not return together.
 * @param {number} attempts that have failed before the last
 * @param {number} asked milliseconds
 * @param {() => number} random
 */
export declare function pauseAfter(attempts: number, asked: number, random: () => number): number;
