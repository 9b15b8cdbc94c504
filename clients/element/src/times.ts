import { kept } from './kept.js';

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];
const WEEK_SECONDS = 7 * 86_400;

/** How long ago a time was, in words; after a week, its date. */
export function ago(then: Date, now: Date, locale: string): string {
  const seconds = (then.getTime() - now.getTime()) / 1000;
  if (-seconds > WEEK_SECONDS) {
    const year = then.getFullYear() === now.getFullYear() ? undefined : 'numeric';
    return kept(`${locale} date ${year}`, () => new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year })).format(then);
  }
  const words = kept(locale, () => new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' }));
  const [unit, length] = UNITS.find(([, length]) => -seconds >= length) ?? ['second', Infinity];
  return words.format(Math.min(0, Math.trunc(seconds / length)) || 0, unit);
}

/** A time in full, or only that of the day. */
export function absolute(then: Date, locale: string, dateStyle?: 'long'): string {
  return kept(`${locale} ${dateStyle}`, () => new Intl.DateTimeFormat(locale, { dateStyle, timeStyle: 'short' })).format(then);
}
