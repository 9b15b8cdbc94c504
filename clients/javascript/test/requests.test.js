import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counts, cursor } from './fakes.js';
import { stage } from './stage.js';

test('a page is asked for with what was given', async (t) => {
  const { service, client } = stage(t);
  const page = { items: [], next_cursor: null, unread_count: 0, cursor: cursor(1) };
  service.answer = () => [200, page];

  assert.deepEqual(await client.notifications('a b', { status: 'all', limit: 5, cursor: undefined }), page);
  assert.equal(service.requests[0].url, 'https://bell.example/v1/users/a%20b/notifications?status=all&limit=5');
  assert.equal(service.requests[0].method, 'GET');
  await client.notifications('ada', { status: 'unread', category: ['a', 'b'] });
  await client.notifications('ada', { category: 'a' });
  assert.deepEqual(
    service.requests.slice(1).map(({ url }) => url.split('?')[1]),
    ['status=unread&category=a&category=b', 'category=a'],
  );
});

test('marks go to their paths, 100 at once', async (t) => {
  const { service, client } = stage(t);
  let asked = 0;
  service.answer = ({ body }) => [200, { changed: body.ids?.length ?? 7, unread_count: 10 - ++asked, cursor: 'e1.2' }];
  const ids = Array.from({ length: 150 }, (_, index) => `id ${index}`);

  assert.deepEqual(await client.markRead('ada', ids), { changed: 150, unread_count: 8, cursor: 'e1.2' });
  assert.equal((await client.archive('ada', { upTo: cursor(2) })).changed, 7);
  await client.markSeen('ada', { upTo: cursor(2), category: 'a' });
  await client.markUnread('ada', 'id');
  await client.snooze('ada', 'id', new Date(0));
  assert.deepEqual(
    service.requests.map(({ url }) => url.split('/').at(-1)),
    ['read', 'read', 'archive', 'seen', 'unread', 'snooze'],
  );
  assert.deepEqual(
    service.requests.slice(2).map(({ body }) => body),
    [
      { up_to: 'e1.2' },
      { up_to: 'e1.2', category: 'a' },
      { ids: ['id'] },
      { ids: ['id'], until: '1970-01-01T00:00:00.000Z' },
    ],
  );
});

test('a mark up to no cursor changes nothing', async (t) => {
  const { service, client } = stage(t);
  const standing = { ...counts(3), cursor: 'e1.2' };
  service.answer = () => [200, standing];

  assert.deepEqual(await client.markRead('ada', { upTo: null }), { changed: 0, ...standing });
  assert.deepEqual(service.requests.map(({ url }) => url.split('/').at(-1)), ['counts']);
});

test('actions and preferences have their paths', async (t) => {
  const { service, client } = stage(t);
  await client.act('ada', 'n1', 'a/b');
  await client.preferences('ada');
  await client.setPreferences('ada', { billing: false, comment: null });

  assert.deepEqual(
    service.requests.map(({ method, url, body }) => [method, url.split('/users/ada')[1], body]),
    [
      ['POST', '/notifications/n1/actions/a%2Fb', undefined],
      ['GET', '/preferences', undefined],
      ['PUT', '/preferences', { categories: { billing: false, comment: null } }],
    ],
  );
});

test('what is unavailable or unreachable is asked again, not sooner than the service says', async (t) => {
  const { clock, service, client } = stage(t, { random: () => 1 });
  const failures = [
    () => [503, { detail: 'away' }, { 'Retry-After': '7' }],
    () => {
      throw new TypeError('fetch failed');
    },
  ];
  service.answer = () => failures.shift()?.();
  const counted = client.counts('ada');
  await clock.pass(7499);
  assert.equal(service.requests.length, 1);
  await clock.pass(1);
  assert.equal(service.requests.length, 2);
  await clock.pass(2000);

  assert.deepEqual(await counted, {});
  assert.equal(service.requests.length, 3);
});

test('what a proxy could not pass on is asked again', async (t) => {
  const { clock, service, client } = stage(t, { random: () => 1 });
  const statuses = [502, 504];
  service.answer = () => {
    const status = statuses.shift();
    return status && [status, {}];
  };
  const counted = client.counts('ada');
  await clock.pass(10_000);

  assert.deepEqual(await counted, {});
  assert.equal(service.requests.length, 3);
});

test('it gives up after 30 s, and at once on what would be refused again', async (t) => {
  const { clock, service, client } = stage(t, { random: () => 1 });
  service.answer = () => {
    throw new TypeError('fetch failed');
  };
  const error = { code: 'unreachable', temporary: true, message: 'fetch failed' };
  const counted = assert.rejects(client.counts('ada'), error);
  await clock.pass(30_000);
  await counted;
  assert.equal(service.requests.length, 5); // after 1, 2, 4 and 8 s; another 16 s would be too long
  service.answer = () => [500, {}];
  await assert.rejects(client.counts('ada'), { status: 500 });
  assert.equal(service.requests.length, 6);
});

test('a caller who gives up is not kept waiting', async (t) => {
  const { clock, service, client } = stage(t);
  const leaving = new AbortController();
  service.answer = () => {
    throw new TypeError('fetch failed');
  };
  const page = assert.rejects(client.notifications('ada', { signal: leaving.signal }), { name: 'AbortError' });
  await clock.pass(0);
  leaving.abort();
  await clock.pass(500);
  await page;
});

test('a token that is not to be had is no reason to ask the service', async (t) => {
  const { service, tab } = stage(t);
  const token = async () => {
    throw new Error('no session');
  };
  await assert.rejects(tab({ token }).counts('ada'), { message: 'no session' });
  assert.equal(service.requests.length, 0);
});

test('a problem has its code, its status and its detail', async (t) => {
  const { service, client } = stage(t);
  service.answer = () => [404, { type: 'urn:bellwire:problem:unknown-user', detail: 'There is no such user.' }];
  await assert.rejects(client.counts('bob'), {
    name: 'BellwireError',
    code: 'unknown-user',
    status: 404,
    temporary: false,
    message: 'There is no such user.',
  });
});

test('an answer that is not the service’s is an error too', async (t) => {
  const { client, tab } = stage(t);
  const fetch = async () => new Response('<h1>Internal error</h1>', { status: 500 });
  await assert.rejects(tab({ fetch }).ticket(), { code: 'http', status: 500, temporary: true });
  assert.ok(client);
});

test('requests at once ask for one token, and for one more when it is refused', async (t) => {
  const { service, client } = stage(t);
  service.answer = ({ token }) => (token.endsWith(service.tokens[0]) ? [401, { detail: 'no' }] : [200, {}]);
  await Promise.all([client.counts('ada'), client.counts('ada'), client.counts('ada')]);

  assert.equal(service.tokens.length, 2);
});

test('a ticket is what the service answers, and no token', async (t) => {
  const { client } = stage(t);
  assert.deepEqual(await client.ticket(), { ticket: 't1', expires_in: 30 });
});
