export { Bellwire } from './bellwire.js';
export { BellwireError } from './errors.js';
export { Inbox } from './inbox.js';
export { groupLabel } from './label.js';
export { LiveInbox } from './live.js';
export { Stream } from './stream.js';

/** @typedef {import('./bellwire.js').Options} Options */
/** @typedef {import('./environment.js').Environment} Environment */
/** @typedef {import('./stream.js').StreamOptions} StreamOptions */
/** @typedef {import('./following.js').Marks} Marks */
/** @typedef {import('./inbox.js').Filter} Filter */
/** @typedef {import('./live.js').InboxOptions} InboxOptions */
/** @typedef {import('./live.js').State} State */
/** @typedef {import('./protocol.js').Notification} Notification */
/** @typedef {import('./protocol.js').Action} Action */
/** @typedef {import('./protocol.js').Actor} Actor */
/** @typedef {import('./protocol.js').Counts} Counts */
/** @typedef {import('./protocol.js').Choices} Choices */
/** @typedef {import('./protocol.js').Preferences} Preferences */
/** @typedef {import('./protocol.js').Page} Page */
/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
