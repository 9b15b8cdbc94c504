import type { Action } from '../../javascript/src/protocol.js';
import { copy, h, svg } from './dom.js';
import type { Notification } from './feed.js';
import { ICONS, type IconName } from './icons.js';
import { imageOf, initialsOf, isElsewhere, linkOf } from './links.js';
import { labelOf, type Look } from './look.js';
import { absolute, ago } from './times.js';

/** Images that could not be loaded: their initials are shown instead. */
export const failedImages = new Set<string>();

/** A row. What can be pressed has `data-do`; the list listens. */
export function rowOf(item: Notification, look: Look): HTMLLIElement {
  const { text } = look;
  const label = labelOf(item, look);
  const url = linkOf(item.action_url);
  const hidden = [!item.read_at && text('unread'), severityWord(item, text)].filter(Boolean).map((word) => `${word}: `);
  // Isolated, so that it does not decide the direction of the title.
  const inner = [hidden.length > 0 && h('bdi', { class: 'hidden' }, hidden.join('')), ...headline(item, label)];
  const main = url
    ? h('a', { class: 'main', 'data-do': 'open', href: url, rel: relOf(url) }, ...inner)
    : h('button', { class: 'main', 'data-do': 'open', type: 'button' }, ...inner);
  return h(
    'li',
    { part: item.read_at ? 'row' : 'row row-unread', 'data-id': item.id, 'data-severity': item.severity },
    avatarOf(item, look),
    h(
      'div',
      { class: 'body' },
      h('h3', { part: 'title', dir: 'auto' }, main),
      item.title ? h('p', { part: 'text', dir: 'auto' }, label && h('b', {}, label), label && ' ', item.message) : null,
      actionsOf(item),
      h('div', { class: 'foot', 'data-key': 'foot' }, timeOf(item, look), toolsOf(item, look)),
    ),
  );
}

function headline(item: Notification, label: string): (Node | string)[] {
  if (item.title) return [item.title];
  return label ? [h('b', {}, label), ` ${item.message}`] : [item.message];
}

function severityWord({ severity }: Notification, text: Look['text']): string {
  return severity && severity !== 'info' ? text(severity) : '';
}

const relOf = (url: string) => isElsewhere(url, location.origin) && 'noopener';

function avatarOf({ actors = [], image_url, severity = 'info', icon = '' }: Notification, { icons }: Look): HTMLElement {
  const image = imageOf(image_url);
  const faces = actors.slice(0, 3).map(({ name, avatar_url }) => faceOf(imageOf(avatar_url), initialsOf(name)));
  if (!faces.length && image && !failedImages.has(image)) faces.push(faceOf(image, ''));
  const own = icon && Object.hasOwn(icons, icon) ? icons[icon] : ICONS[severity as IconName];
  const shown = faces.length ? faces : [h('span', { class: 'face icon' }, typeof own === 'function' ? own() : svg(own))];
  return h('div', { part: 'avatar', 'aria-hidden': 'true', 'data-key': `avatar${faces.length}`, class: shown.length > 1 && 'many' }, ...shown);
}

function faceOf(image: string | null, initials: string): HTMLElement {
  if (!image || failedImages.has(image)) return h('span', { class: 'face' }, initials);
  const careful = { loading: 'lazy', decoding: 'async', referrerpolicy: 'no-referrer' };
  return h('img', { class: 'face', alt: '', width: 32, height: 32, ...careful, src: image });
}

/** The buttons of a notification; after an answer, what was chosen. */
function actionsOf({ actions = [], acted_at, action: chosen }: Notification): HTMLElement | null {
  const shown = acted_at ? actions.filter(({ id }) => id === chosen) : actions.slice(0, 3);
  if (!shown.length) return null;
  return h('div', { class: 'actions', 'data-key': 'actions' }, ...shown.map((action) => actionOf(action, !!acted_at)));
}

function actionOf({ id, label, url, style = 'default' }: Action, done: boolean): HTMLElement | null {
  const props = { part: 'action', class: style, 'data-key': `${id} ${done}`, 'data-action': id, dir: 'auto' };
  if (done) return h('span', { ...props, class: 'done' }, svg(ICONS.check), label);
  if (!url) return h('button', { ...props, type: 'button', 'data-do': 'act' }, label);
  const link = linkOf(url);
  return link ? h('a', { ...props, 'data-do': 'follow', href: link, rel: relOf(link) }, label) : null;
}

/** The time since when a notification is new. */
const newSince = ({ woken_at, created_at }: Notification) => woken_at ?? created_at;

function timeOf(item: Notification, { language: locale }: Look): HTMLElement {
  const then = new Date(newSince(item));
  return h('time', { part: 'time', datetime: newSince(item), title: absolute(then, locale, 'long') }, ago(then, new Date(), locale));
}

/** Say the times of rows as they are now. */
export function tick(rows: Element, locale: string): void {
  for (const time of rows.querySelectorAll('time')) {
    const words = ago(new Date(time.dateTime), new Date(), locale);
    if (time.textContent !== words) time.textContent = words;
  }
}

function toolsOf(item: Notification, { text }: Look): HTMLElement {
  const labels = [text(item.read_at ? 'markUnread' : 'markRead'), text('snooze'), text('archive')];
  const tool = (name: string, icon: IconName, label: string, more = {}) =>
    h('button', { type: 'button', class: 'tool', 'data-do': name, 'aria-label': label, title: label, ...more }, svg(ICONS[icon]));
  return copy(`${!item.read_at} ${labels}`, () =>
    h(
      'div',
      { class: 'tools' },
      tool('toggle', item.read_at ? 'unread' : 'check', labels[0]),
      tool('snooze', 'snooze', labels[1], { 'aria-haspopup': 'menu' }),
      tool('archive', 'archive', labels[2]),
    ),
  );
}
