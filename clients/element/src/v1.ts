import { BellwireInbox } from './inbox.js';

for (const [name, type] of [['bellwire-inbox', BellwireInbox]] as const) {
  if (!customElements.get(name)) customElements.define(name, type);
}

export { BellwireInbox };
