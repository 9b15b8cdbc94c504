/** A text for each plural category of a language; `{n}` is the number. */
export type Plural = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };

/** Every text of the elements. `{…}` are filled in. */
export interface Strings {
  title: string;
  bell: Plural;
  all: string;
  unread: string;
  markAllRead: string;
  markRead: string;
  markUnread: string;
  archive: string;
  snooze: string;
  snoozeHour: string;
  snoozeEvening: string;
  snoozeTomorrow: string;
  snoozeWeek: string;
  pill: Plural;
  /** Said to screen readers; `{text}` is the title of the latest. */
  arrived: Plural;
  others: Plural;
  success: string;
  warning: string;
  critical: string;
  emptyAll: string;
  emptyUnread: string;
  emptyCategory: string;
  loading: string;
  offline: string;
  connecting: string;
  reconnecting: string;
  asOfTime: string;
  signedOut: string;
  signIn: string;
  failed: string;
  retry: string;
  rolledBack: string;
  removed: string;
  close: string;
  help: string;
  keyMove: string;
  keyOpen: string;
  keyArchive: string;
  keyRead: string;
  keyHelp: string;
  preferences: string;
  /** Why a category cannot be switched off. */
  mandatory: string;
  preferencesFailed: string;
  noCategories: string;
  unreadNumber: Plural;
}

export const english: Strings = {
  title: 'Notifications',
  bell: { other: 'Notifications, {n} new' },
  all: 'All',
  unread: 'Unread',
  markAllRead: 'Mark all as read',
  markRead: 'Mark as read',
  markUnread: 'Mark as unread',
  archive: 'Archive',
  snooze: 'Snooze',
  snoozeHour: 'In an hour',
  snoozeEvening: 'This evening',
  snoozeTomorrow: 'Tomorrow morning',
  snoozeWeek: 'Next Monday',
  pill: { other: '{n} new' },
  arrived: { one: '{n} new notification: {text}', other: '{n} new notifications. Latest: {text}' },
  others: { one: '1 other', other: '{n} others' },
  success: 'Success',
  warning: 'Warning',
  critical: 'Critical',
  emptyAll: 'No notifications yet',
  emptyUnread: 'You have read everything',
  emptyCategory: 'Nothing here yet',
  loading: 'Loading notifications',
  offline: 'You are offline',
  connecting: 'Connecting',
  reconnecting: 'Connecting again',
  asOfTime: 'As of {time}',
  signedOut: 'You are signed out',
  signIn: 'Sign in again',
  failed: 'Notifications could not be loaded',
  retry: 'Try again',
  rolledBack: 'That did not work; nothing was changed',
  removed: 'The notification was taken back',
  close: 'Close',
  help: 'Keyboard shortcuts',
  keyMove: 'Next or previous notification',
  keyOpen: 'Open',
  keyArchive: 'Archive',
  keyRead: 'Mark as read or unread',
  keyHelp: 'Show or hide this help',
  preferences: 'Preferences',
  mandatory: 'Required, cannot be turned off',
  preferencesFailed: 'Preferences could not be loaded',
  noCategories: 'There is nothing to choose yet',
  unreadNumber: { other: '{n} unread' },
};

const LANGUAGES: Record<string, () => Promise<{ strings: Strings }>> = {
  ar: () => import('./languages/ar.js'),
  de: () => import('./languages/de.js'),
  es: () => import('./languages/es.js'),
  fr: () => import('./languages/fr.js'),
  ja: () => import('./languages/ja.js'),
  pt: () => import('./languages/pt.js'),
};

/** The texts in a language, English if there is none; the language is loaded when it is first needed. */
export async function stringsFor(locale: string): Promise<Strings> {
  const load = LANGUAGES[locale] ?? LANGUAGES[locale.split('-')[0].toLowerCase()];
  return load ? (await load()).strings : english;
}

/** Put values into a text, or into the form of it that a number needs. */
export function fill(text: string | Plural, locale: string, values: Record<string, string | number> = {}): string {
  const form = typeof text === 'string' ? text : (text[new Intl.PluralRules(locale).select(Number(values.n))] ?? text.other);
  return form.replace(/\{(\w+)\}/g, (hole, name) => {
    const value = values[name];
    return typeof value === 'number' ? new Intl.NumberFormat(locale).format(value) : (value ?? hole);
  });
}
