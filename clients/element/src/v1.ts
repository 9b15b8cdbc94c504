// First, because gzip then finds more that repeats: strings are near strings.
import './styles.js';
import './icons.js';
import './strings.js';
import { BellwireBadge } from './badge.js';
import { BellwireInbox } from './inbox.js';
import { BellwirePreferences } from './preferences.js';

const ELEMENTS = {
  'bellwire-inbox': BellwireInbox,
  'bellwire-badge': BellwireBadge,
  'bellwire-preferences': BellwirePreferences,
};

for (const [name, type] of Object.entries(ELEMENTS)) {
  if (globalThis.customElements && !customElements.get(name)) customElements.define(name, type);
}

export { BellwireBadge, BellwireInbox, BellwirePreferences };
export type { FeedState, Notification, Token } from './feed.js';
export type { Plural, Strings } from './strings.js';

declare global {
  interface HTMLElementTagNameMap {
    'bellwire-inbox': BellwireInbox;
    'bellwire-badge': BellwireBadge;
    'bellwire-preferences': BellwirePreferences;
  }
}
