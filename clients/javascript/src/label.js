/** @typedef {(count: number, plural: Intl.LDMLPluralRule) => string} Others */

/** @type {Others} */
const english = (count, plural) => (plural === 'one' ? '1 other' : `${count}${count < MOST ? '' : '+'} others`);
/** Above this the service does not count actors. */
const MOST = 99;

/**
 * Who a notification is from: "Ada", "Ada and Grace", "Ada and 4 others". If nobody is named, how many
 * notifications it stands for, "4 ×", or nothing for one.
 * @param {Pick<import('./protocol.js').Notification, 'actors' | 'actor_count' | 'count'>} notification
 * @param {{locale?: string, others?: Others}} [words] `others` says "4 others" in the language of `locale`, which
 *   is English by default; `plural` is the plural category of the count
 */
export const groupLabel = (notification, { locale = 'en', others = english } = {}) => labelOf(notification, locale, others);

/**
 * Likewise, with what has no default.
 * @param {Pick<import('./protocol.js').Notification, 'actors' | 'actor_count' | 'count'>} notification
 * @param {string} locale
 * @param {Others} others
 */
export function labelOf(notification, locale, others) {
  const { actors = [], actor_count = actors.length, count = 1 } = notification;
  if (actors.length === 0) return count > 1 ? `${new Intl.NumberFormat(locale).format(count)} ×` : '';
  const total = Math.max(actor_count, actors.length);
  const names = actors.map(({ name }) => name);
  const rest = total - 1;
  const shown =
    total <= 2 && names.length === total
      ? names
      : [names[0], others(rest, new Intl.PluralRules(locale).select(rest))];
  return new Intl.ListFormat(locale).format(shown);
}
