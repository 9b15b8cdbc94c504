import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Api } from '../src/api.js';
import { newPart } from '../src/protocol.js';
import { cursor, news } from './fakes.js';

const update = (from, to, more) => ({ type: 'update', prev: cursor(from), cursor: cursor(to), set: {}, ...more });

test('of a frame that is known in part the rest is new', () => {
  const { prev, items } = newPart(cursor(3), news(1, 5));
  assert.equal(prev, cursor(3));
  assert.deepEqual(items.map(({ version }) => version), [4, 5]);
  assert.deepEqual(newPart(cursor(3), update(2, 5, { ids: ['a', 'b', 'c'] })).ids, ['b', 'c']);
  assert.equal(newPart(cursor(3), update(2, 5, { up_to: cursor(2) })).up_to, cursor(2));
});

test('versions of another epoch say nothing', () => {
  assert.equal(newPart(cursor(9, 'e0'), news(1, 2)), 'hole');
  assert.equal(newPart(cursor(1, 'e0'), news(1, 2)), 'hole');
});

test('a token that was refused late does not cost the one that took its place', async () => {
  const tokens = ['first', 'second'];
  const api = new Api('https://bell.example', () => tokens.shift(), fetch);
  const first = await api.token();
  api.forget(first);
  assert.equal(await api.token(), 'second');
  api.forget(first);
  assert.equal(await api.token(), 'second');
});
