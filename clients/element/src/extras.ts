import { h } from './dom.js';
import { placeAfter } from './keys.js';
import { place } from './place.js';
import type { Look } from './look.js';
import type { Strings } from './strings.js';

type Words = Look & { rtl: boolean };

/** When a notification may come back: in an hour, this evening, tomorrow, and on Monday unless that is tomorrow. */
export function snoozeTimes(now: Date): [keyof Strings, Date][] {
  const at = (days: number, hour: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, hour);
  const times: [keyof Strings, Date][] = [['snoozeHour', new Date(now.getTime() + 3_600_000)]];
  if (now.getHours() < 17) times.push(['snoozeEvening', at(0, 18)]);
  times.push(['snoozeTomorrow', at(1, 9)]);
  if (now.getDay()) times.push(['snoozeWeek', at(8 - now.getDay(), 9)]);
  return times;
}

/** Ask until when; from a button, as a menu. */
export function snoozeMenu(button: HTMLElement, { text, language: locale, rtl }: Words, chosen: (until: Date) => void): void {
  const format = new Intl.DateTimeFormat(locale, { weekday: 'short', hour: 'numeric', minute: '2-digit' });
  const items = snoozeTimes(new Date()).map(([name, until]) => {
    const item = h('button', { type: 'button', role: 'menuitem', tabindex: -1 }, text(name), h('time', {}, format.format(until)));
    item.addEventListener('click', () => {
      menu.hidePopover();
      chosen(until);
    });
    return item;
  });
  const menu = h('div', { part: 'menu', role: 'menu', popover: 'auto', 'aria-label': text('snooze') }, ...items);
  menu.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 'next', ArrowUp: 'previous', Home: 'first', End: 'last' }[event.key];
    if (event.key === 'Tab') menu.hidePopover();
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    items[placeAfter(step as 'next', items.findIndex((item) => item.matches(':focus')), items.length)].focus();
  });
  // Only of the outermost popover does the browser give the focus back.
  menu.addEventListener('beforetoggle', (event) => (event as ToggleEvent).newState === 'closed' && menu.matches(':focus-within') && button.focus());
  menu.addEventListener('toggle', (event) => (event as ToggleEvent).newState === 'closed' && menu.remove());
  button.closest('dialog')!.append(menu);
  (menu.showPopover as (options: { source: Element }) => void)({ source: button });
  place(menu, button, rtl);
  items[0].focus();
}

/** Show or hide what the keys do. */
export function toggleHelp(panel: HTMLElement, { text }: Words): void {
  const shown = panel.querySelector('.help');
  if (shown) return shown.remove();
  const lines: [string, keyof Strings][] = [
    ['↑ ↓ j k', 'keyMove'],
    ['Enter', 'keyOpen'],
    ['e', 'keyArchive'],
    ['r', 'keyRead'],
    ['?', 'keyHelp'],
  ];
  const list = lines.flatMap(([keys, name]) => [h('dt', {}, h('kbd', {}, keys)), h('dd', {}, text(name))]);
  panel.querySelector('[part=footer]')!.before(h('section', { class: 'help', role: 'status' }, h('h3', {}, text('help')), h('dl', {}, ...list)));
}
