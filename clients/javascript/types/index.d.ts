export { Bellwire } from './bellwire.js';
export { BellwireError } from './errors.js';
export { Inbox } from './inbox.js';
export { Stream } from './stream.js';
export type Options = import('./bellwire.js').Options;
export type Environment = import('./environment.js').Environment;
export type StreamOptions = import('./stream.js').StreamOptions;
export type Marks = import('./stream.js').Marks;
export type Notification = import('./protocol.js').Notification;
export type Page = import('./protocol.js').Page;
export type StreamEvent = import('./protocol.js').StreamEvent;
/** @typedef {import('./bellwire.js').Options} Options */
/** @typedef {import('./environment.js').Environment} Environment */
/** @typedef {import('./stream.js').StreamOptions} StreamOptions */
/** @typedef {import('./stream.js').Marks} Marks */
/** @typedef {import('./protocol.js').Notification} Notification */
/** @typedef {import('./protocol.js').Page} Page */
/** @typedef {import('./protocol.js').StreamEvent} StreamEvent */
