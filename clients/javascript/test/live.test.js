import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counts, cursor, item, news, pageOf, welcome } from './fakes.js';
import { stage } from './stage.js';

const update = (from, to, more) => ({ type: 'update', prev: cursor(from), cursor: cursor(to), ...counts(0), ...more });
const reset = (version) => ({
  ...{ type: 'reset', cursor: cursor(version), reason: 'epoch' },
  ...{ ...counts(0), preferences_version: 0 },
});

/** An inbox among fakes. Pages are answered when the test says so, in the order in which they are requested. */
function opened(t, options = {}, given = {}) {
  const on = stage(t, given);
  const asked = [];
  const { fetch } = on.service;
  const held = (url, request) => {
    if (!url.includes('/notifications?')) return fetch(url, request);
    return new Promise((resolve, reject) => {
      const answer = (status, body) =>
        resolve(new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } }));
      asked.push({ query: Object.fromEntries(new URL(url).searchParams), answer, fail: reject });
    });
  };
  const inbox = on.tab({ fetch: held }).inbox('ada', options);
  const told = [];
  const types = ['change', 'state', 'arrived', 'preferences', 'error'];
  for (const type of types) inbox.addEventListener(type, ({ detail }) => told.push([type, detail]));
  t.after(() => inbox.close());
  /** Answer the nth page that was requested. */
  const page = async (number, answer, status = 200) => {
    await on.settled();
    asked[number - 1].answer(status, answer);
    await on.settled();
  };
  const versions = (filter = {}) => inbox.list(filter).map(({ version }) => version);
  const of = (type) => told.filter(([one]) => one === type).map(([, detail]) => detail);
  return { ...on, browser: on.page, inbox, asked, page, told, versions, of };
}

test('it loads, and follows from there', async (t) => {
  const { inbox, service, asked, page, of, versions } = opened(t, { limit: 5 });
  assert.equal(inbox.state, 'loading');
  await page(1, pageOf(2, item(2), item(1)));
  assert.deepEqual(asked[0].query, { status: 'all', limit: '5' });
  assert.equal(inbox.state, 'connecting');
  assert.equal(service.socket.query.cursor, 'e1.2');
  service.socket.tell(welcome(2, { resumed: true }), news(2, 3), { ...news(3, 4), changed: true });

  assert.deepEqual(versions(), [4, 3, 2, 1]);
  assert.deepEqual([inbox.unreadCount, inbox.unseenCount, inbox.unreadIn, inbox.cursor], [4, 4, { test: 4 }, 'e1.4']);
  assert.deepEqual(of('state'), ['connecting', 'online']);
  assert.deepEqual(of('arrived').map((items) => items.length), [1]);
  assert.equal(of('change').length, 3);
});

test('what comes while a page is on its way is applied to it', async (t) => {
  const { inbox, service, page, settled, versions } = opened(t, { limit: 1 });
  await page(1, { ...pageOf(5, item(5)), next_cursor: 'more' });
  service.socket.tell(welcome(5, { resumed: true }));
  const more = inbox.more();
  await settled();
  service.socket.tell(update(5, 6, { ids: ['n0002'], set: { archived_at: 'now' } }));
  service.socket.tell(update(6, 7, { ids: ['n0003'], set: { read_at: 'now' } }));
  await page(2, pageOf(6, item(4), item(3)));
  await more;

  assert.deepEqual(versions(), [5, 4, 7]);
  assert.equal(inbox.hasMore(), false);
  assert.equal(inbox.items[2].read_at, 'now');
});

test('after a reset it loads again, and what came before does not count', async (t) => {
  const { inbox, service, asked, page, settled, versions } = opened(t);
  await page(1, pageOf(5, item(5)));
  service.socket.tell(welcome(5, { resumed: true }), { ...reset(2), cursor: cursor(2, 'e2') });
  await settled();
  service.socket.tell({ ...news(2, 3), prev: cursor(2, 'e2'), cursor: cursor(3, 'e2') });
  await page(2, { ...pageOf(2, item(1)), cursor: cursor(2, 'e2') });

  assert.equal(asked.length, 2);
  assert.deepEqual(versions(), [3, 1]);
  assert.equal(inbox.cursor, 'e2.3');
});

test('what comes back that is not in the list makes it load again, also during a load', async (t) => {
  const { clock, service, page, asked, settled, versions } = opened(t);
  await page(1, pageOf(5, item(5)));
  service.socket.tell(welcome(5, { resumed: true }), update(5, 6, { ids: ['n0001'], set: { archived_at: null } }));
  await settled();
  service.socket.tell(update(6, 7, { ids: ['n0002'], set: { snoozed_until: null } }));
  await page(2, pageOf(6, item(5), item(6, { id: 'n0001' })));
  await clock.pass(0);
  await page(3, pageOf(7, item(5), item(7, { id: 'n0002' }), item(6, { id: 'n0001' })));

  assert.equal(asked.length, 3);
  assert.deepEqual(versions(), [5, 7, 6]);
});

test('each list goes on from its own end', async (t) => {
  const { inbox, page, asked, settled, versions } = opened(t, { limit: 2 });
  const bill = (version) => item(version, { category: 'billing' });
  const billing = { category: 'billing' };
  await page(1, { ...pageOf(9, item(9), bill(8)), next_cursor: 'all 2' });
  const first = inbox.more(billing);
  await page(2, { ...pageOf(9, bill(8), bill(5)), next_cursor: 'billing 2' });
  const unread = inbox.more({ unread: true, category: 'billing' });
  await page(3, pageOf(9, bill(8)));
  const second = inbox.more(billing);
  await page(4, pageOf(9, bill(2)));
  await Promise.all([first, unread, second]);
  await inbox.more(billing);
  await settled();

  assert.deepEqual(
    asked.map(({ query: { limit, ...query } }) => query),
    [
      { status: 'all' },
      { status: 'all', category: 'billing' },
      { status: 'unread', category: 'billing' },
      { status: 'all', category: 'billing', cursor: 'billing 2' },
    ],
  );
  assert.deepEqual(versions(billing), [8, 5, 2]);
  assert.deepEqual(versions(), [9, 8]);
  assert.deepEqual([inbox.hasMore(), inbox.hasMore(billing)], [true, false]);
});

test('a page that was requested before a reload is requested again', async (t) => {
  const { inbox, page, asked, versions, settled } = opened(t, { limit: 1 });
  await page(1, { ...pageOf(5, item(5)), next_cursor: 'old' });
  const more = inbox.more();
  await settled();
  const refreshed = inbox.refresh();
  await page(3, { ...pageOf(6, item(6)), next_cursor: 'new' });
  await refreshed;
  await page(2, pageOf(5, item(4)));
  await page(4, pageOf(6, item(5)));
  await more;

  assert.deepEqual(asked.map(({ query }) => query.cursor), [undefined, 'old', undefined, 'new']);
  assert.deepEqual(versions(), [6, 5]);
});

test('the bell is opened: what is unseen is marked, nothing if there is nothing', async (t) => {
  const { inbox, service, page, settled } = opened(t);
  const early = inbox.markRead('n0001');
  await page(1, pageOf(2, item(2), item(1)));
  service.socket.tell(welcome(2, { resumed: true }));
  const seen = inbox.seen();
  await settled();
  const [read, opening] = service.socket.sent;
  service.socket.tell({ type: 'ok', ref: opening.ref, changed: 2 }, { type: 'ok', ref: read.ref, changed: 1 });
  service.socket.tell(update(2, 4, { up_to: cursor(2), set: { seen_at: 'now' }, unread_count: 2 }));

  assert.deepEqual(await Promise.all([early, seen]), [1, 2]);
  assert.deepEqual([read.ids, opening.type, opening.up_to], [['n0001'], 'seen', 'e1.2']);
  assert.equal(await inbox.seen(), 0);
  assert.equal(service.socket.sent.length, 2);
});

test('every command is the stream’s', async (t) => {
  const { inbox, service, page, settled } = opened(t);
  await page(1, pageOf(2, item(2)));
  service.socket.tell(welcome(2, { resumed: true }));
  const commands = [
    inbox.markAllRead({ category: 'test' }),
    inbox.markUnread(['a']),
    inbox.archive('a'),
    inbox.unarchive('a'),
    inbox.act('a', 'ok'),
    inbox.snooze('a', new Date(0)),
  ];
  await settled();
  const { sent } = service.socket;
  for (const { ref } of sent) service.socket.tell({ type: 'ok', ref, changed: 1 });

  assert.deepEqual(await Promise.all(commands), Array(6).fill(1));
  assert.deepEqual(sent.map(({ ref, ...frame }) => frame), [
    { type: 'read', up_to: 'e1.2', category: 'test' },
    { type: 'unread', ids: ['a'] },
    { type: 'archive', ids: ['a'] },
    { type: 'unarchive', ids: ['a'] },
    { type: 'act', id: 'a', action: 'ok' },
    { type: 'snooze', ids: ['a'], until: '1970-01-01T00:00:00.000Z' },
  ]);
});

test('preferences are read and set over HTTP, and changed ones are told', async (t) => {
  const { inbox, service, page, of } = opened(t);
  await page(1, pageOf(2));
  const chosen = { ids: [], set: {}, preferences: { billing: false } };
  service.socket.tell(welcome(2, { resumed: true }), update(2, 3, chosen));
  await inbox.preferences();
  await inbox.setPreferences({ billing: null });

  assert.deepEqual(of('preferences'), [3]);
  assert.deepEqual(
    service.requests.slice(-2).map(({ method, url }) => `${method} ${url.split('/').at(-1)}`),
    ['GET preferences', 'PUT preferences'],
  );
});

test('it says that the browser is offline, and that it is not any more', async (t) => {
  const { inbox, service, page, browser, of, settled } = opened(t);
  await page(1, pageOf(2));
  service.socket.tell(welcome(2, { resumed: true }));
  browser.online(false);
  assert.equal(inbox.state, 'offline');
  browser.online(true);
  await settled();
  service.socket.tell(welcome(2, { resumed: true }));

  assert.deepEqual(of('state'), ['connecting', 'online', 'offline', 'reconnecting', 'online']);
});

test('if the page is not to be had it loads when the stream is connected', async (t) => {
  const { clock, inbox, service, asked, page, of, versions } = opened(t, {}, { random: () => 1 });
  await clock.pass(0);
  for (let tries = 1; tries <= 5; tries++) {
    asked[tries - 1].fail(new TypeError('fetch failed'));
    await clock.pass(1000 * 2 ** (tries - 1));
  }
  assert.equal(of('error').length, 1);
  assert.equal(inbox.state, 'loading');
  assert.equal('cursor' in service.socket.query, false);
  service.socket.tell(welcome(7));
  await page(6, pageOf(7, item(7)));

  assert.equal(inbox.state, 'online');
  assert.deepEqual(versions(), [7]);
});

test('a reload that fails is tried again', async (t) => {
  const { clock, inbox, service, asked, page, versions } = opened(t);
  await page(1, pageOf(5, item(5)));
  service.socket.tell(welcome(5, { resumed: true }), reset(2));
  await page(2, { detail: 'broken' }, 500);
  assert.deepEqual([inbox.state, versions()], ['online', [5]]);
  await clock.pass(10_000);
  await page(3, pageOf(2, item(1)));

  assert.deepEqual([asked.length, versions()], [3, [1]]);
});

test('a refusal ends it, of a page as of the stream', async (t) => {
  const first = opened(t);
  const mark = assert.rejects(first.inbox.markRead('a'), { status: 403 });
  await first.page(1, {}, 403);
  await mark;
  assert.deepEqual([first.inbox.state, first.service.sockets.length], ['refused', 0]);

  const second = opened(t);
  await second.page(1, pageOf(2));
  second.service.socket.bye(4513);
  await assert.rejects(second.inbox.markRead('a'), { code: 'closed' });
  assert.deepEqual([second.inbox.state, second.clock.pending], ['refused', 0]);
});

test('what is closed leaves nothing behind', async (t) => {
  const { clock, inbox, service, page, told, settled } = opened(t);
  await page(1, pageOf(2));
  service.socket.tell(welcome(2, { resumed: true }), reset(1));
  await settled();
  inbox.close();
  const before = told.length;
  await page(2, pageOf(1));
  await clock.pass(60_000);

  assert.deepEqual([inbox.state, service.socket.closed, clock.pending, told.length], ['closed', true, 0, before]);
  const early = opened(t);
  early.inbox.close();
  await early.page(1, pageOf(2));
  assert.equal(early.service.sockets.length, 0);
  await assert.rejects(early.inbox.markRead('a'), { code: 'closed' });
});
