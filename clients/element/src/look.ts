import { labelOf as groupLabel } from '../../javascript/src/label.js';
import type { Notification } from './feed.js';
import type { Strings } from './strings.js';

/** Icons of the host by name: what is drawn with lines in a field of 24 × 24, or a function that makes an element. */
export type Icons = Record<string, string | (() => Element)>;

/** The texts and icons of an element. */
export interface Look {
  readonly text: (name: keyof Strings, values?: Record<string, string | number>) => string;
  readonly language: string;
  readonly icons: Icons;
}

/** The service counts no more actors than one and these. */
const MOST = 99;

/** Who a notification is from, and of how many it stands. */
export function labelOf(item: Notification, { text, language: locale }: Look): string {
  return groupLabel(item, locale, (n) => text('others', { n: n < MOST ? n : `${n}+` }));
}

/** What a notification is called in one line. */
export const titleOf = (item: Notification, look: Look): string => item.title || [labelOf(item, look), item.message].filter(Boolean).join(' ');
