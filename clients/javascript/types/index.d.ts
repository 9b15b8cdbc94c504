export { Bellwire } from './bellwire.js';
export { BellwireError } from './errors.js';
export { Inbox } from './inbox.js';
export { groupLabel } from './label.js';
export { LiveInbox } from './live.js';
export { Stream } from './stream.js';
export type Options = import('./bellwire.js').Options;
export type Environment = import('./environment.js').Environment;
export type StreamOptions = import('./stream.js').StreamOptions;
export type Marks = import('./following.js').Marks;
export type Filter = import('./inbox.js').Filter;
export type InboxOptions = import('./live.js').InboxOptions;
export type State = import('./live.js').State;
export type Notification = import('./protocol.js').Notification;
export type Action = import('./protocol.js').Action;
export type Actor = import('./protocol.js').Actor;
export type Counts = import('./protocol.js').Counts;
export type Choices = import('./protocol.js').Choices;
export type Preferences = import('./protocol.js').Preferences;
export type Page = import('./protocol.js').Page;
export type StreamEvent = import('./protocol.js').StreamEvent;
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
