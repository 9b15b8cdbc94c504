import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Notification } from '../src/feed.js';
import { Pending } from '../src/pending.js';

const item = (version: number, more = {}) => ({ id: 'a', version, read_at: null, archived_at: null, ...more }) as unknown as Notification;
const shown = (pending: Pending, truth: Notification) => {
  pending.settle(() => [truth]);
  const [{ read_at, archived_at }] = pending.over([truth]);
  return [read_at, archived_at];
};

test('a change shows at once, and is dropped when the truth has come', () => {
  const pending = new Pending();
  const done = pending.put([item(1)], { read_at: 'now' });
  assert.deepEqual(shown(pending, item(1)), ['now', null]);
  assert.deepEqual(shown(pending, item(2)), ['now', null], 'another change came first');
  done(1);
  assert.deepEqual(shown(pending, item(3, { read_at: 'then' })), ['then', null]);
  assert.deepEqual(shown(pending, item(4)), [null, null], 'another device');
});

test('the answer may come before the truth', () => {
  const pending = new Pending();
  pending.put([item(1)], { read_at: 'now' })(1);
  assert.deepEqual(shown(pending, item(1)), ['now', null]);
  assert.deepEqual(shown(pending, item(2)), [null, null]);
});

test('what failed, or changed nothing, is taken back; what else was done stays', () => {
  const pending = new Pending();
  const read = pending.put([item(1)], { read_at: 'now' });
  const archive = pending.put([item(1)], { archived_at: 'now' });
  assert.deepEqual(shown(pending, item(1)), ['now', 'now']);
  archive(0);
  assert.deepEqual(shown(pending, item(1)), ['now', null]);
  read(0);
  assert.deepEqual(shown(pending, item(1)), [null, null]);
  assert.deepEqual(shown(pending, item(1)), [null, null]);
});

test('a notification that is gone takes its changes along', () => {
  const pending = new Pending();
  pending.put([item(1)], { archived_at: 'now' })(1);
  pending.settle(() => []);
  assert.deepEqual(shown(pending, item(1)), [null, null]);
});
