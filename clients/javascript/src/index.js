export { Bellwire } from './bellwire.js';
export { BellwireError } from './errors.js';
export { Inbox } from './inbox.js';
export { Stream } from './stream.js';

/** @typedef {import('./bellwire.js').Options} Options */
/** @typedef {import('./environment.js').Environment} Environment */
/** @typedef {import('./stream.js').StreamOptions} StreamOptions */
/** @typedef {import('./stream.js').Marks} Marks */
/** @typedef {import('./protocol.js').Notification} Notification */
/** @typedef {import('./protocol.js').Page} Page */
/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
