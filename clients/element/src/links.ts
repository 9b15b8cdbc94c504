// The service's rules, again: what is clicked, or loaded without a click, is not to depend on the service alone.
const REFUSED =
  '\\s\\\\"\'`<>\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb';
const ADDRESS = `://[^/?#@${REFUSED}]+(?:[/?#][^${REFUSED}]*)?|/(?!/)[^${REFUSED}]*)$`;
const LINK = new RegExp(`^(?:https?${ADDRESS}`);
const IMAGE = new RegExp(`^(?:https${ADDRESS}`);

/** A link's address if it may be followed: http(s) without credentials, or a path. */
export const linkOf = (url: string | null | undefined): string | null => (url && LINK.test(url) ? url : null);

/** An image's address if it may be loaded: https, or a path. */
export const imageOf = (url: string | null | undefined): string | null => (url && IMAGE.test(url) ? url : null);

/** Whether an address leads away from an origin. */
export const isElsewhere = (url: string, origin: string): boolean => new URL(url, origin).origin !== origin;

/** The first letters of a name's first and last word. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0] ?? '').join('').toUpperCase();
}
