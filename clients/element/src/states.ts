import { h, svg } from './dom.js';
import type { Feed, FeedState } from './feed.js';
import { ICONS } from './icons.js';
import type { Tab } from './tabs.js';
import type { Look } from './look.js';
import type { Strings } from './strings.js';
import { absolute } from './times.js';

/** A line over the list: a notice, or that the list may be out of date. */
export const noticeOf = (state: string, text: string): HTMLElement => h('p', { class: 'bar', 'data-key': state, 'data-state': state }, text);

/** Likewise. What was never complete has no time as of which it was. */
export function staleOf({ state, asOf }: Feed, { language, text }: Look): HTMLElement | false {
  if (state !== 'offline' && state !== 'reconnecting' && state !== 'connecting') return false;
  return noticeOf(state, text(state) + (asOf ? ` · ${text('asOfTime', { time: absolute(asOf, language) })}` : ''));
}

/** What is shown in place of a list without rows. */
export function stateOf(state: FeedState, rows: boolean, more: boolean, tab: Tab, { text }: Look): HTMLElement {
  const box = (...inside: Parameters<typeof h>[2][]) => h('div', { class: 'state' }, ...inside);
  const words = (icon: string, name: keyof Strings, press?: keyof Strings) =>
    box(svg(icon), h('p', {}, text(name)), press && h('button', { type: 'button', class: 'main', 'data-do': press }, text(press)));
  if (state === 'signed-out') return words(ICONS.bell, 'signedOut', 'signIn');
  if (rows) return box();
  if (state === 'failed') return words(ICONS.warning, 'failed', 'retry');
  if (state === 'loading' || more) return box(h('span', { class: 'hidden' }, text('loading')), ...skeleton(4));
  if (tab.filter.category) return words(ICONS.bell, 'emptyCategory');
  return tab.filter.unread ? words(ICONS.checks, 'emptyUnread') : words(ICONS.bell, 'emptyAll');
}

/** The end of a list: more is coming, or could not be loaded. */
export function endOf(more: boolean, how: 'loading' | 'failed' | null, { text }: Look): HTMLElement {
  const retry = () => h('button', { type: 'button', class: 'main', 'data-do': 'more' }, text('retry'));
  return h('div', { class: 'edge' }, ...(more ? (how === 'failed' ? [retry()] : skeleton(1)) : []));
}

const skeleton = (rows: number) => Array.from({ length: rows }, () => h('div', { class: 'skeleton', 'aria-hidden': 'true' }, h('i'), h('b'), h('s')));
