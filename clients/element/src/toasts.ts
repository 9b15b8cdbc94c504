import { h, svg } from './dom.js';
import type { Notification } from './feed.js';
import { ICONS } from './icons.js';
import { type Look, titleOf } from './look.js';

const SHOWN_MS = 6_000;
const MOST = 3;

/** New notifications in a corner, for a while. They are in the list too: nothing can be done only here. */
export class Toasts {
  readonly element = h('div', { class: 'toasts', popover: 'manual' });
  #timers = new Map<Element, unknown>();

  constructor() {
    for (const type of ['pointerenter', 'focusin']) this.element.addEventListener(type, () => this.#pause());
    for (const type of ['pointerleave', 'focusout']) this.element.addEventListener(type, () => this.#resume());
  }

  show(items: Notification[], look: Look, open: () => void): void {
    for (const item of items.slice(0, MOST)) this.#add(item, look, open);
    const toasts = [...this.element.children];
    toasts.slice(0, Math.max(0, toasts.length - MOST)).forEach((toast) => this.#drop(toast));
    if (!this.element.matches(':popover-open')) this.element.showPopover();
  }

  clear(): void {
    for (const toast of [...this.element.children]) this.#drop(toast);
  }

  #add(item: Notification, look: Look, open: () => void): void {
    const label = look.text('close');
    const main = h('button', { type: 'button', class: 'main', dir: 'auto' }, h('b', {}, titleOf(item, look)), item.title && h('span', {}, item.message));
    const close = h('button', { type: 'button', class: 'tool', 'aria-label': label, title: label }, svg(ICONS.close));
    const toast = h('div', { part: 'toast', 'data-id': item.id }, main, close);
    main.addEventListener('click', () => {
      this.clear();
      open();
    });
    close.addEventListener('click', () => this.#drop(toast));
    this.element.append(toast);
    this.#time(toast);
  }

  #time(toast: Element): void {
    this.#timers.set(toast, setTimeout(() => this.#drop(toast), SHOWN_MS));
  }

  #drop(toast: Element): void {
    clearTimeout(this.#timers.get(toast) as number);
    this.#timers.delete(toast);
    toast.remove();
    if (!this.element.children.length && this.element.matches(':popover-open')) this.element.hidePopover();
  }

  #pause(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer as number);
  }

  #resume(): void {
    if (this.element.matches(':hover, :focus-within')) return;
    for (const toast of this.#timers.keys()) {
      clearTimeout(this.#timers.get(toast) as number);
      this.#time(toast);
    }
  }
}
