const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];
const WEEK_SECONDS = 7 * 86_400;
const made = new Map<string, Intl.DateTimeFormat | Intl.RelativeTimeFormat>();

/** Formats are slow to make. */
function kept<F extends Intl.DateTimeFormat | Intl.RelativeTimeFormat>(key: string, make: () => F): F {
  const format = (made.get(key) as F | undefined) ?? make();
  made.set(key, format);
  return format;
}

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

const TICK_MS = 30_000;
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Call something every half minute, with one timer for all, until the returned function is called. */
export function everyTick(work: () => void): () => void {
  listeners.add(work);
  timer ??= setInterval(() => listeners.forEach((listener) => listener()), TICK_MS);
  return () => {
    listeners.delete(work);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}
