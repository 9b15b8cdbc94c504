import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counts, cursor, news, welcome } from './fakes.js';
import { stage } from './stage.js';

test('a mark is answered by its ref', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  await settled();
  service.socket.tell(welcome(5));
  const some = stream.markRead(['a', 'b']);
  const all = stream.markRead({ upTo: cursor(5) });
  const [first, second] = service.socket.sent;
  assert.deepEqual(first, { type: 'read', ids: ['a', 'b'], ref: first.ref });
  assert.deepEqual(second, { type: 'read', up_to: 'e1.5', ref: second.ref });
  service.socket.tell({ type: 'ok', ref: second.ref, changed: 5 }, { type: 'ok', ref: first.ref, changed: 2 });

  assert.equal(await some, 2);
  assert.equal(await all, 5);
});

test('every kind of mark has its command', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  await settled();
  service.socket.tell(welcome(5));
  for (const mark of ['markSeen', 'markUnread', 'archive', 'unarchive']) stream[mark]('a').catch(() => {});

  assert.deepEqual(
    service.socket.sent.map(({ type, ids }) => [type, ...ids]),
    [
      ['seen', 'a'],
      ['unread', 'a'],
      ['archive', 'a'],
      ['unarchive', 'a'],
    ],
  );
});

test('a category, an action and a time are sent as they are', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  assert.equal(await stream.markRead({ upTo: stream.cursor }), 0); // null: nothing was told yet
  await settled();
  service.socket.tell(welcome(5));
  stream.markRead({ upTo: stream.cursor, category: 'billing' }).catch(() => {});
  stream.act('a', 'approve').catch(() => {});
  stream.snooze(['a', 'b'], '2026-11-23T08:00:00Z').catch(() => {});
  stream.unsnooze('a').catch(() => {});
  const sent = service.socket.sent.map(({ ref, ...frame }) => frame);

  assert.deepEqual(sent, [
    { type: 'read', up_to: 'e1.5', category: 'billing' },
    { type: 'act', id: 'a', action: 'approve' },
    { type: 'snooze', ids: ['a', 'b'], until: '2026-11-23T08:00:00Z' },
    { type: 'unsnooze', ids: ['a'] },
  ]);
});

test('changed preferences are told, also those of a time away', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const { of, stream } = follow();
  await settled();
  const chosen = { type: 'update', ids: [], set: {}, preferences: { billing: false } };
  const step = { ...chosen, ...counts(0), prev: cursor(5), cursor: cursor(6) };
  service.socket.tell(welcome(5, { preferences_version: 2 }), step, news(6, 7));
  assert.equal(stream.preferencesVersion, 6);
  service.socket.end();
  await clock.pass(500);
  service.socket.tell(welcome(7, { resumed: true, preferences_version: 9 }));

  assert.deepEqual(of('update')[0].preferences, { billing: false });
  assert.deepEqual(of('preferences'), [6, 9].map((version) => ({ type: 'preferences', preferences_version: version })));
});

test('more than 100 ids are several commands and one answer', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  await settled();
  service.socket.tell(welcome(5));
  const ids = Array.from({ length: 201 }, (_, index) => `id ${index}`);
  const marked = stream.markRead(ids);
  const { sent, tell } = service.socket;
  assert.deepEqual(
    sent.map((frame) => frame.ids.length),
    [100, 100, 1],
  );
  assert.deepEqual(sent.flatMap((frame) => frame.ids), ids);
  for (const { ref, ids } of sent) tell({ type: 'ok', ref, changed: ids.length });

  assert.equal(await marked, 201);
});

test('a refused mark rejects with what the service said', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  await settled();
  service.socket.tell(welcome(5));
  const marked = stream.markRead(['a']);
  const [{ ref }] = service.socket.sent;
  service.socket.tell({ type: 'error', ref, code: 'unavailable', detail: 'Later.', temporary: true });

  await assert.rejects(marked, { name: 'BellwireError', message: 'Later.', code: 'unavailable', temporary: true });
});

test('marks that were not answered are sent again, in their order, on the next connection', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const { stream } = follow();
  const early = stream.markRead(['a']);
  await settled();
  assert.deepEqual(service.socket.sent, []);
  service.socket.tell(welcome(5));
  const late = stream.markUnread(['a']);
  const [one, two] = service.socket.sent;
  service.socket.end();
  await clock.pass(500);
  service.socket.tell(welcome(5, { resumed: true }));
  assert.deepEqual(service.socket.sent, [one, two]);
  assert.deepEqual([one.type, two.type], ['read', 'unread']);
  for (const { ref } of [one, two]) service.socket.tell({ type: 'ok', ref, changed: 1 });

  assert.deepEqual(await Promise.all([early, late]), [1, 1]);
});

test('marks that are not answered when the stream is closed are rejected, and so are later ones', async (t) => {
  const { follow } = stage(t);
  const { stream } = follow();
  const marked = stream.markRead(['a']);
  stream.close();

  await assert.rejects(marked, { code: 'closed' });
  await assert.rejects(stream.markRead(['a']), { code: 'closed' });
});

test('what the service could not mark by itself is told', async (t) => {
  const { service, follow, settled } = stage(t);
  const { of } = follow({ view: 'auto' });
  await settled();
  const frame = { type: 'error', ref: null, code: 'unavailable', detail: 'Away.', temporary: true };
  service.socket.tell(welcome(5), frame);

  assert.deepEqual(of('error'), [frame]);
});

test('a loop has every event in order, also while it is busy, until the stream is closed', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  const seen = [];
  const loop = (async () => {
    for await (const event of stream) {
      seen.push(event.type === 'notifications' ? event.items[0].version : event.type);
      await settled();
    }
  })();
  await settled();
  service.socket.tell(welcome(0), news(0, 1), news(1, 2), news(2, 3));
  stream.close();
  await loop;

  assert.deepEqual(seen, ['connected', 1, 'counts', 2, 'counts', 3, 'counts']);
});

test('a loop throws when the stream is refused, also one that begins afterwards', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  const loop = (async () => {
    for await (const _ of stream);
  })();
  await settled();
  service.socket.bye(4515);

  await assert.rejects(loop, { name: 'BellwireError', code: '4515', message: 'so' });
  await assert.rejects(stream[Symbol.asyncIterator]().next(), { code: '4515' });
});

test('the count is told when it changes', async (t) => {
  const { service, follow, settled } = stage(t);
  const { of, stream } = follow();
  await settled();
  const more = (from, unread_count) => news(from, from + 1, { unread_count });
  service.socket.tell(welcome(5, { unread_count: 3 }), more(5, 4), more(6, 4), more(7, 2));

  assert.deepEqual(
    of('counts').map(({ unread_count }) => unread_count),
    [3, 4, 2],
  );
  assert.deepEqual([stream.unreadCount, stream.unseenCount, stream.unreadIn], [2, 2, { test: 2 }]);
  service.socket.tell(news(8, 9, { unread_count: 2, unread_in: { test: 1, billing: 1 } }));
  assert.deepEqual(of('counts').at(-1).unread_in, { test: 1, billing: 1 });
});

test('the cursor is kept where it is asked to be, once the listeners have had the event', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  const { stream } = follow({ storage });
  await settled();
  service.socket.tell(welcome(5));
  let during;
  stream.addEventListener('notifications', () => {
    during = [...kept.values()];
  });
  service.socket.tell(news(5, 6));
  assert.deepEqual(during, ['e1.5']);
  assert.deepEqual([...kept.values()], ['e1.6']);
  stream.close();

  follow({ storage });
  await settled();
  assert.equal(service.socket.query.cursor, 'e1.6');
  follow({ storage, cursor: cursor(9) });
  await settled();
  assert.equal(service.socket.query.cursor, 'e1.9');
  await clock.pass(0);
});

test('a client without a WebSocket says so at once', (t) => {
  const { follow, tab } = stage(t);
  if (globalThis.WebSocket) return t.skip('there is a global one');
  const without = tab({ WebSocket: undefined });
  assert.throws(() => follow({}, without), /give the client one/);
  assert.throws(() => without.inbox('ada'), /give the client one/);
});
