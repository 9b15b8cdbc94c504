import { h } from './dom.js';
import { BellwireElement, reflect, SHARED } from './element.js';
import { adopt, BADGE, BASE } from './styles.js';

/** `<bellwire-badge>`: how many notifications are new, and nothing if none is. For a link to a page of them. */
export class BellwireBadge extends BellwireElement {
  static override observedAttributes = [...SHARED, 'badge'];
  declare badge: string | null;
  #number = h('span', { part: 'badge', 'aria-hidden': 'true' });
  #words = h('span', { class: 'hidden' });

  constructor() {
    super();
    adopt(this.root, BASE, BADGE);
    this.root.append(this.#number, this.#words);
  }

  protected render(): void {
    const unread = this.badge === 'unread';
    const count = (unread ? this.feed?.unreadCount : this.feed?.unseenCount) ?? 0;
    this.#number.textContent = count > 99 ? '99+' : String(count || '');
    this.#words.textContent = count ? ` ${this.text(unread ? 'unreadNumber' : 'pill', { n: count })}` : '';
  }
}

reflect(BellwireBadge, ['badge']);
