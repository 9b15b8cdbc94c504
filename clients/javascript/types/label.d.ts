/** @typedef {(count: number, plural: Intl.LDMLPluralRule) => string} Others */
export type Others = (count: number, plural: Intl.LDMLPluralRule) => string;
/**
 * Who a notification is from: "Ada", "Ada and Grace", "Ada and 4 others". If nobody is named, how many
 * notifications it stands for, "4 ×", or nothing for one.
 * @param {Pick<import('./protocol.js').Notification, 'actors' | 'actor_count' | 'count'>} notification
 * @param {{locale?: string, others?: Others}} [words] `others` says "4 others" in the language of `locale`, which
 *   is English by default; `plural` is the plural category of the count
 */
export declare const groupLabel: (notification: Pick<import('./protocol.js').Notification, 'actors' | 'actor_count' | 'count'>, { locale, others }?: {
    locale?: string;
    others?: Others;
}) => string;
/**
 * Likewise, with what has no default.
 * @param {Pick<import('./protocol.js').Notification, 'actors' | 'actor_count' | 'count'>} notification
 * @param {string} locale
 * @param {Others} others
 */
export declare function labelOf(notification: Pick<import('./protocol.js').Notification, 'actors' | 'actor_count' | 'count'>, locale: string, others: Others): string;
