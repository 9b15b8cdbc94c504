import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Inbox } from '../src/index.js';
import { counts, cursor, item, news, pageOf } from './fakes.js';

const NOW = '2026-11-22T11:00:00Z';
const LATER = '2026-11-23T11:00:00Z';
const update = (from, to, more) => ({
  type: 'update',
  prev: cursor(from),
  cursor: cursor(to),
  ...counts(0),
  set: { read_at: NOW },
  ...more,
});
const reset = (version) => ({ type: 'reset', cursor: cursor(version), ...counts(0), reason: 'epoch' });

function inboxOf(...versions) {
  const inbox = new Inbox();
  inbox.load(pageOf(Math.max(...versions), ...versions.map((version) => item(version))));
  return inbox;
}

test('it has the newest first', () => {
  const inbox = inboxOf(2, 1);
  assert.equal(inbox.apply(news(2, 4)), true);
  assert.deepEqual(inbox.items.map(({ version }) => version), [4, 3, 2, 1]);
});

test('of two states the newer one stays', () => {
  const inbox = inboxOf(5);
  inbox.apply({ ...news(5, 6), items: [item(4, { id: 'n0005', message: 'old' })] });
  assert.equal(inbox.items[0].message, 'message 5');
  inbox.apply({ ...news(6, 7), changed: true, items: [item(7, { id: 'n0005', message: 'new' })] });
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

for (const [set, more, implied] of [
  [{ seen_at: NOW }, {}, { seen_at: NOW, read_at: null }],
  [{ read_at: NOW }, {}, { seen_at: NOW, read_at: NOW }],
  [{ acted_at: NOW }, { action: 'ok' }, { seen_at: NOW, read_at: NOW, acted_at: NOW, action: 'ok' }],
]) {
  test(`what follows from ${Object.keys(set)}`, () => {
    const inbox = inboxOf(1);
    inbox.apply(update(1, 2, { ids: ['n0001'], set, ...more }));
    for (const [field, value] of Object.entries(implied)) assert.equal(inbox.items[0][field], value);
  });
}

test('what is seen, read or done stays so: the first time is kept, and unread is not unseen', () => {
  const inbox = inboxOf(1);
  inbox.apply(update(1, 2, { ids: ['n0001'], set: { seen_at: 'first' } }));
  inbox.apply(update(2, 3, { ids: ['n0001'] }));
  inbox.apply(update(3, 4, { ids: ['n0001'], set: { read_at: null } }));
  assert.deepEqual([inbox.items[0].seen_at, inbox.items[0].read_at], ['first', null]);
});

test('what is archived, snoozed, collapsed or taken back leaves', () => {
  const inbox = inboxOf(1, 2, 3, 4);
  inbox.apply(update(4, 5, { ids: ['n0001'], set: { archived_at: NOW } }));
  inbox.apply({ ...news(5, 6), replay: true, items: [item(6, { id: 'n0002', snoozed_until: LATER })] });
  inbox.apply(update(6, 7, { ids: ['n0003'], set: { snoozed_until: LATER } }));
  inbox.apply(update(7, 8, { ids: ['n0004'], set: { retracted_at: NOW } }));
  inbox.apply({ ...news(8, 9), items: [item(9, { count: 2, actor_count: 1, actors: [{ name: 'Ada' }] })] });
  assert.deepEqual(inbox.items.map(({ id, count }) => [id, count]), [['n0009', 2]]);
});

test('what was snoozed comes back on top, unread and unseen', () => {
  const inbox = new Inbox();
  const ids = ['018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000002'];
  inbox.load(pageOf(2, ...ids.map((id, index) => item(index + 1, { id }))));
  inbox.apply({ ...news(2, 3), changed: true, items: [item(3, { id: ids[0], woken_at: NOW })] });
  assert.deepEqual(inbox.items.map(({ id }) => id), ids);
});

test('what brings back notifications that are not here asks for a load', () => {
  const inbox = inboxOf(1);
  assert.equal(inbox.apply(update(1, 3, { ids: ['n0001', 'n0008'], set: { read_at: null } })), true);
  assert.equal(inbox.apply(update(3, 4, { ids: ['n0009'], set: { archived_at: null } })), false);
  assert.equal(inbox.apply(update(4, 5, { up_to: cursor(3), set: { archived_at: null } })), false);
  assert.equal(inbox.apply(update(5, 6, { ids: ['n0009'], set: { snoozed_until: null } })), false);
  assert.equal(inbox.apply(update(6, 7, { ids: ['n0009'], set: { woken_at: NOW } })), false);
  assert.equal(inbox.apply(reset(9)), false);
  inbox.load(pageOf(9, item(9)));
  assert.deepEqual(inbox.items.map(({ version }) => version), [9]);
});

test('an event that is older than the page changes nothing, and asks for nothing', () => {
  const inbox = new Inbox();
  inbox.load(pageOf(9, item(9, { id: 'n0001' })));
  assert.equal(inbox.apply(update(4, 5, { ids: ['n0001'] })), true);
  assert.equal(inbox.apply(update(5, 6, { ids: ['n0008'], set: { archived_at: null } })), true);
  assert.equal(inbox.items[0].read_at, null);
  assert.deepEqual([inbox.cursor, inbox.unreadCount], ['e1.9', 1]);
});

test('the counts are those of the newest cursor', () => {
  const inbox = inboxOf(1);
  assert.deepEqual([inbox.cursor, inbox.unreadCount, inbox.unseenCount, inbox.unreadIn], ['e1.1', 1, 1, { test: 1 }]);
  inbox.apply(news(1, 4, { unseen_count: 2 }));
  inbox.apply(news(1, 3));
  inbox.add(pageOf(2));
  assert.deepEqual([inbox.cursor, inbox.unreadCount, inbox.unseenCount, inbox.unreadIn], ['e1.4', 4, 2, { test: 4 }]);
  inbox.apply(update(4, 5, { ids: [], set: {}, preferences: { test: false }, ...counts(3) }));
  assert.deepEqual([inbox.cursor, inbox.unreadCount], ['e1.5', 3]);
  inbox.apply(reset(2));
  assert.deepEqual([inbox.cursor, inbox.unreadCount], ['e1.2', 0]);
});

test('a list has no holes: it ends where it is loaded, and goes on from there', () => {
  const inbox = new Inbox();
  const billing = { category: 'billing' };
  const bill = (version) => item(version, { category: 'billing' });
  inbox.load({ ...pageOf(9, item(9), bill(8)), next_cursor: 'all 2' });
  assert.equal(inbox.next(), 'all 2');
  assert.equal(inbox.next(billing), undefined);

  inbox.add({ ...pageOf(9, bill(8), bill(5)), next_cursor: 'billing 2' }, billing);
  inbox.add(pageOf(9, bill(2)), billing);
  const ids = (filter) => inbox.list(filter).map(({ id }) => id);
  assert.deepEqual(ids(), ['n0009', 'n0008']);
  assert.deepEqual(ids(billing), ['n0008', 'n0005', 'n0002']);
  assert.equal(inbox.next(billing), null);

  inbox.add(pageOf(9, item(7), bill(5), item(3), bill(2)));
  assert.deepEqual(ids(), ['n0009', 'n0008', 'n0007', 'n0005', 'n0003', 'n0002']);
  assert.equal(inbox.next({ unread: true }), null);
  inbox.apply(update(9, 10, { ids: ['n0007'] }));
  assert.deepEqual(ids({ unread: true }), ['n0009', 'n0008', 'n0005', 'n0003', 'n0002']);
});
