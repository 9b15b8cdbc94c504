import { BellwireElement, reflect, SHARED } from './element.js';
import { h, morph, reconcile, svg } from './dom.js';
import type { Notification } from './feed.js';
import { adopt, BADGE, BASE, INBOX } from './styles.js';

const OWN = ['view', 'badge', 'tabs', 'categories', 'read', 'toasts', 'announce'] as const;
const BELL = 'M6 9a6 6 0 0 1 12 0c0 6 2.5 7.5 2.5 7.5h-17S6 15 6 9M10 20.5a2.2 2.2 0 0 0 4 0';

/** `<bellwire-inbox>`: a bell with a badge, which opens the user's notifications. */
export class BellwireInbox extends BellwireElement {
  static override observedAttributes = [...SHARED, ...OWN];
  declare badge: string | null;
  #badge = h('span', { part: 'badge', 'aria-hidden': 'true' });
  #bell = h('button', { part: 'bell', type: 'button', 'aria-haspopup': 'dialog' }, h('slot', { name: 'bell' }, svg(BELL)), this.#badge);
  #title = h('h2', { id: 'title' });
  #list = h('ul', { part: 'list', role: 'list' });
  #panel = h('dialog', { part: 'panel', role: 'dialog', popover: 'auto', tabindex: -1, 'aria-labelledby': 'title' }, this.#title, this.#list);
  #rows = new Map<string, HTMLElement>();

  constructor() {
    super();
    adopt(this.root, BASE, BADGE, INBOX);
    this.root.append(this.#bell, this.#panel);
    this.#bell.popoverTargetElement = this.#panel;
    this.#panel.addEventListener('toggle', () => {
      if (this.#panel.matches(':popover-open')) this.feed?.seen();
      this.change();
    });
  }

  open(): void {
    this.#panel.showPopover();
  }

  close(): void {
    this.#panel.hidePopover();
  }

  refresh(): Promise<void> | undefined {
    return this.feed?.refresh();
  }

  markAllRead(): Promise<boolean> | undefined {
    return this.feed?.readAll();
  }

  protected render(): void {
    const count = (this.badge === 'unread' ? this.feed?.unreadCount : this.feed?.unseenCount) ?? 0;
    this.#badge.textContent = count > 99 ? '99+' : String(count || '');
    this.#bell.setAttribute('aria-label', count ? this.text('bell', { n: count }) : this.text('title'));
    this.#title.textContent = this.text('title');
    reconcile<ChildNode>(this.#list, (this.feed?.list() ?? []).map((item) => this.#row(item)));
  }

  #row(item: Notification): HTMLElement {
    const next = h('li', { part: item.read_at ? 'row' : 'row row-unread', 'data-id': item.id }, h('h3', {}, item.title ?? item.message));
    const row = this.#rows.get(item.id) ?? next;
    if (row !== next) morph(row, next);
    this.#rows.set(item.id, row);
    return row;
  }
}

reflect(BellwireInbox, OWN);
