import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';

import { Clock, cursor, item, Page, pageOf, Service, settled, welcome } from '../../javascript/test/fakes.js';
import { Feed } from '../src/feed.js';

const URL = 'https://bell.example';

/** A feed among fakes; `answer` is what the service says to requests for a page. */
function opened(t: TestContext, answer: () => unknown[], token = true) {
  const clock = new Clock();
  const service = new Service(clock);
  const page = new Page();
  service.answer = ({ url }: { url: string }) => (url.includes('/notifications?') ? answer() : undefined);
  const { WebSocket, fetch } = service;
  const { setTimeout, clearTimeout, now } = clock;
  const environment = { WebSocket, fetch, setTimeout, clearTimeout, now, page, document: page.document, navigator: page.navigator };
  const feed = new Feed(URL, 'ada', token ? service.token : null, { ...environment, random: () => 0 } as never);
  const told: string[] = [];
  for (const type of ['error', 'rejected']) feed.addEventListener(type, () => told.push(type));
  feed.use();
  t.after(() => feed.release());
  return { clock, service, feed, told };
}

const unread = (feed: Feed) => feed.list({ unread: true }).map(({ version }) => version);

test('what the user does shows at once, and is taken back if it is refused', async (t) => {
  const { service, feed, told } = opened(t, () => [200, pageOf(2, item(2), item(1))]);
  await settled();
  service.socket.tell(welcome(2, { unread_count: 2 }));
  const read = feed.read(['n0002']);
  const archive = feed.archive(['n0001']);
  assert.deepEqual([unread(feed), feed.list().length, feed.unreadCount], [[], 1, 2], 'counts are those of the service');
  await settled();
  const [one, other] = service.socket.sent.slice(-2);
  service.socket.tell({ type: 'error', ref: other.ref, code: 'no', detail: 'Not today', temporary: false });
  assert.deepEqual([await archive, feed.list().length, told], [false, 2, ['error', 'rejected']]);
  service.socket.tell({ type: 'ok', ref: one.ref, changed: 1 });
  assert.deepEqual([await read, unread(feed)], [true, [1]]);
  const update = { ids: ['n0002'], set: { read_at: '2026-11-22T11:00:00Z' }, prev: cursor(2), cursor: cursor(3) };
  service.socket.tell({ type: 'update', ...update, unread_count: 1, unseen_count: 1, unread_in: { test: 1 } });
  assert.deepEqual([unread(feed), feed.list()[0].read_at, feed.unreadCount], [[1], '2026-11-22T11:00:00Z', 1]);
});

test('before the first connection it is connecting, and knows of no time when it was complete', async (t) => {
  const { service, feed } = opened(t, () => [200, pageOf(1, item(1))]);
  assert.equal(feed.state, 'loading');
  await settled();
  assert.deepEqual([feed.state, feed.asOf, feed.list().length], ['connecting', null, 1]);
  service.socket.end();
  assert.deepEqual([feed.state, feed.asOf], ['connecting', null], 'it has lost nothing');
});

test('all are read up to what the user can have seen', async (t) => {
  const { service, feed } = opened(t, () => [200, pageOf(2, item(2), item(1))]);
  await settled();
  service.socket.tell(welcome(2));
  feed.readAll('test');
  assert.deepEqual(unread(feed), []);
  await settled();
  const { type, up_to, category } = service.socket.sent.at(-1);
  assert.deepEqual([type, up_to, category], ['read', cursor(2), 'test']);
});

test('a user whom the service does not know yet has an empty list, and is asked for again', async (t) => {
  let known = false;
  const missing = [404, { type: 'urn:bellwire:problem:unknown-user', detail: 'There is no such user.' }];
  const { clock, service, feed, told } = opened(t, () => (known ? [200, pageOf(1, item(1))] : missing));
  await settled();
  assert.deepEqual([feed.state, feed.list(), feed.hasMore(), feed.unreadCount], ['online', [], false, 0]);
  await clock.pass(30_000);
  assert.equal(feed.state, 'online');
  known = true;
  await clock.pass(30_000);
  service.socket.tell(welcome(1, { unread_count: 1 }));
  assert.deepEqual([feed.list().length, feed.unreadCount, told], [1, 1, []]);
});

test('without a token the user is signed out, until there is one', async (t) => {
  const { service, feed } = opened(t, () => [200, pageOf(1, item(1))], false);
  await settled();
  assert.deepEqual([feed.state, feed.list(), service.requests.length], ['signed-out', [], 0]);
  feed.renew(service.token);
  await settled();
  service.socket.tell(welcome(1));
  assert.deepEqual([feed.state, feed.list().length], ['online', 1]);
});

test('a list that could not be loaded says so, and loads when it is told to', async (t) => {
  let broken = true;
  const { feed } = opened(t, () => (broken ? [500, {}] : [200, pageOf(1, item(1))]));
  await settled();
  assert.equal(feed.state, 'failed');
  broken = false;
  await feed.refresh();
  assert.equal(feed.list().length, 1);
  assert.notEqual(feed.state, 'failed');
});
