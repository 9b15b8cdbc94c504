/** A key that was pressed; of a `KeyboardEvent`. */
export type Key = Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey'>;
export type KeyCommand = 'next' | 'previous' | 'first' | 'last' | 'archive' | 'read' | 'help';

const COMMANDS: Record<string, KeyCommand> = {
  ArrowDown: 'next', j: 'next', ArrowUp: 'previous', k: 'previous', Home: 'first', End: 'last',
  e: 'archive', r: 'read', '?': 'help',
}; // prettier-ignore

/** What a key means in the list; nothing together with Ctrl, Alt or Meta, which are the browser's. */
export function commandOf({ key, ctrlKey, metaKey, altKey }: Key): KeyCommand | undefined {
  return ctrlKey || metaKey || altKey ? undefined : COMMANDS[key];
}

/** The place that a step leads to among so many: it stops at the ends. From nowhere (-1), any step leads to the first. */
export function placeAfter(command: KeyCommand, place: number, length: number): number {
  if (command === 'first' || place < 0) return 0;
  if (command === 'last') return length - 1;
  return Math.max(0, Math.min(length - 1, place + (command === 'next' ? 1 : -1)));
}

/** The tab that a key leads to, around the ends; undefined if it leads to none. */
export function tabAfter({ key, ctrlKey, metaKey, altKey }: Key, place: number, length: number, rtl: boolean): number | undefined {
  if (ctrlKey || metaKey || altKey) return undefined;
  if (key === 'Home') return 0;
  if (key === 'End') return length - 1;
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
  return step && (place + (rtl ? -step : step) + length) % length;
}
