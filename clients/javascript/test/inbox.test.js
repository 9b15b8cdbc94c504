import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Inbox } from '../src/index.js';
import { cursor, item, news } from './fakes.js';

const NOW = '2026-11-22T11:00:00Z';
const update = (from, to, more) => ({
  type: 'update',
  prev: cursor(from),
  cursor: cursor(to),
  unread_count: 0,
  set: { read_at: NOW },
  ...more,
});

function inboxOf(...versions) {
  const inbox = new Inbox();
  inbox.load({ items: versions.map((version) => item(version)) });
  return inbox;
}

test('it has the newest first', () => {
  const inbox = inboxOf(2, 1);
  assert.equal(inbox.apply(news(2, 4)), true);
  assert.deepEqual(inbox.items.map(({ version }) => version), [4, 3, 2, 1]);
});

test('of two states the newer one stays', () => {
  const inbox = inboxOf(5);
  inbox.apply({ ...news(0, 0), items: [item(4, { id: 'n0005', message: 'old' })] });
  assert.equal(inbox.items[0].message, 'message 5');
  inbox.apply({ ...news(5, 6), items: [item(6, { id: 'n0005', message: 'new' })] });
  assert.deepEqual(inbox.items.map(({ message }) => message), ['new']);
});

test('an update by ids gives each its own version', () => {
  const inbox = inboxOf(1, 2, 3);
  assert.equal(inbox.apply(update(3, 5, { ids: ['n0003', 'n0001'] })), true);
  assert.deepEqual(
    inbox.items.map(({ version, read_at }) => [version, read_at]),
    [[4, NOW], [2, null], [5, NOW]],
  );
});

test('an update up to a cursor changes what is not newer and not yet so', () => {
  const inbox = inboxOf(1, 2, 3);
  inbox.apply(update(3, 4, { ids: ['n0001'], set: { read_at: 'first' } }));
  assert.equal(inbox.apply(update(4, 5, { up_to: cursor(4) })), true);
  inbox.apply(news(5, 6));
  inbox.apply(update(6, 7, { up_to: cursor(5) }));
  assert.deepEqual(
    inbox.items.map(({ version, read_at }) => [version, read_at]),
    [[6, null], [5, NOW], [5, NOW], [4, 'first']],
  );
});

test('what is archived or taken back leaves', () => {
  const inbox = inboxOf(1, 2, 3);
  inbox.apply(update(3, 4, { ids: ['n0001'], set: { archived_at: NOW } }));
  inbox.apply({ ...news(4, 5), items: [item(5, { id: 'n0002', retracted_at: NOW })] });
  assert.deepEqual(inbox.items.map(({ id }) => id), ['n0003']);
});

test('what brings back notifications that are not here asks for a load', () => {
  const inbox = inboxOf(1);
  assert.equal(inbox.apply(update(3, 5, { ids: ['n0001', 'n0008'], set: { read_at: null } })), true);
  assert.equal(inbox.apply(update(5, 6, { ids: ['n0009'], set: { archived_at: null } })), false);
  assert.equal(inbox.apply(update(6, 7, { up_to: cursor(5), set: { archived_at: null } })), false);
  assert.equal(inbox.apply({ type: 'reset', cursor: cursor(9), unread_count: 0, reason: 'epoch' }), false);
  inbox.load({ items: [item(9)] });
  assert.deepEqual(inbox.items.map(({ version }) => version), [9]);
});

test('an update that is older than the item changes nothing', () => {
  const inbox = inboxOf(1);
  inbox.load({ items: [item(9, { id: 'n0001' })] });
  inbox.apply(update(4, 5, { ids: ['n0001'] }));
  assert.equal(inbox.items[0].read_at, null);
});
