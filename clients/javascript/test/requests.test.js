import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cursor } from './fakes.js';
import { stage } from './stage.js';

test('a page is asked for with what was given', async (t) => {
  const { service, client } = stage(t);
  const page = { items: [], next_cursor: null, unread_count: 0, cursor: cursor(1) };
  service.answer = () => [200, page];

  assert.deepEqual(await client.notifications('a b', { status: 'all', limit: 5, cursor: undefined }), page);
  assert.equal(service.requests[0].url, 'https://bell.example/v1/users/a%20b/notifications?status=all&limit=5');
  assert.equal(service.requests[0].method, 'GET');
});

test('marks go to their paths, 100 at once', async (t) => {
  const { service, client } = stage(t);
  let asked = 0;
  service.answer = ({ body }) => [200, { changed: body.ids?.length ?? 7, unread_count: 10 - ++asked, cursor: 'e1.2' }];
  const ids = Array.from({ length: 150 }, (_, index) => `id ${index}`);

  assert.deepEqual(await client.markRead('ada', ids), { changed: 150, unread_count: 8, cursor: 'e1.2' });
  assert.equal((await client.archive('ada', { upTo: cursor(2) })).changed, 7);
  assert.deepEqual(
    service.requests.map(({ url }) => url.split('/').at(-1)),
    ['read', 'read', 'archive'],
  );
  assert.deepEqual(service.requests[2].body, { up_to: 'e1.2' });
});

test('a problem has its code, its status and its detail', async (t) => {
  const { service, client } = stage(t);
  service.answer = () => [404, { type: 'urn:bellwire:problem:unknown-user', detail: 'There is no such user.' }];
  await assert.rejects(client.unreadCount('bob'), {
    name: 'BellwireError',
    code: 'unknown-user',
    status: 404,
    temporary: false,
    message: 'There is no such user.',
  });
});

test('an answer that is not the service’s is an error too', async (t) => {
  const { client, tab } = stage(t);
  const fetch = async () => new Response('<h1>Bad gateway</h1>', { status: 502 });
  await assert.rejects(tab({ fetch }).ticket(), { code: 'http', status: 502, temporary: true });
  assert.ok(client);
});

test('requests at once ask for one token, and for one more when it is refused', async (t) => {
  const { service, client } = stage(t);
  service.answer = ({ token }) => (token.endsWith(service.tokens[0]) ? [401, { detail: 'no' }] : [200, {}]);
  await Promise.all([client.unreadCount('ada'), client.unreadCount('ada'), client.unreadCount('ada')]);

  assert.equal(service.tokens.length, 2);
});

test('a ticket is what the service answers, and no token', async (t) => {
  const { client } = stage(t);
  assert.deepEqual(await client.ticket(), { ticket: 't1', expires_in: 30 });
});
