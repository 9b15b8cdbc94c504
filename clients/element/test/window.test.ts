import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FIRST_ROWS, MOST_ROWS, successorOf, Window } from '../src/window.js';

const list = (...ids: (string | number)[]) => ids.map((id) => ({ id: String(id) }));
const down = (from: number, to: number) => list(...Array.from({ length: from - to + 1 }, (_, index) => from - index));
const ids = (items: { id: string }[]) => items.map(({ id }) => id).join(' ');

test('new ones wait while the list is held, and come when it is not', () => {
  const window = new Window();
  window.take(list(2, 1), false);
  window.take(list(4, 3, 2, 1), true);
  assert.deepEqual([ids(window.held), ids(window.rows)], ['4 3', '2 1']);
  window.take(list(5, 4, 3, 2, 1), true);
  assert.deepEqual([ids(window.held), ids(window.rows)], ['5 4 3', '2 1']);
  window.take(list(5, 4, 3, 2, 1), false);
  assert.deepEqual([ids(window.held), ids(window.rows)], ['', '5 4 3 2 1']);
});

test('the first list is never held back, nor one of which nothing is known', () => {
  const window = new Window();
  window.take(list(2, 1), true);
  assert.equal(ids(window.rows), '2 1');
  window.take(list(4, 3), true);
  assert.equal(ids(window.rows), '4 3');
  window.take([], true);
  window.take(list(1), true);
  assert.deepEqual([ids(window.held), ids(window.rows)], ['', '1']);
});

test('what is taken back is not held, and older pages are shown', () => {
  const window = new Window();
  window.take(list(3, 2), false);
  window.take(list(5, 4, 3, 2), true);
  window.take(list(5, 3, 2, 1), true);
  assert.deepEqual([ids(window.held), ids(window.rows)], ['5', '3 2 1']);
});

test('of a long list a part has rows, which moves', () => {
  const window = new Window();
  window.take(down(1000, 1), false);
  assert.deepEqual([window.rows.length, window.above, window.below], [FIRST_ROWS, false, true]);
  assert.equal(window.move(false), false);
  while (window.rows.length < MOST_ROWS) assert.equal(window.move(true), true);
  assert.equal(window.rows[0].id, '1000', 'it grows before it moves');
  while (window.move(true));
  assert.deepEqual([window.rows.at(-1)?.id, window.rows.length, window.above, window.below], ['1', MOST_ROWS, true, false]);
  while (window.move(false));
  assert.deepEqual([window.rows[0].id, window.rows.length], ['1000', MOST_ROWS]);
  window.reset();
  window.take(down(1000, 1), false);
  assert.equal(window.rows.length, FIRST_ROWS, 'another list begins anew');
});

test('a part stays where it is when the list grows or shrinks above it', () => {
  const window = new Window();
  window.take(down(1000, 1), false);
  while (!window.above) window.move(true);
  const first = window.rows[0].id;
  window.take(down(1005, 1), true);
  assert.equal(window.rows[0].id, first);
  window.take(down(1005, 1).filter(({ id }) => id !== first && Number(id) < 1003), true);
  assert.equal(Number(window.rows[0].id), Number(first) - 1);
  window.take(list(2000, 1999), false);
  assert.deepEqual([ids(window.rows), window.above, window.below], ['2000 1999', false, false]);
});

test('the focus goes to the next that is still there, else to the one before', () => {
  assert.equal(successorOf('b', ['a', 'b', 'c', 'd'], new Set(['a', 'd'])), 'd');
  assert.equal(successorOf('d', ['a', 'b', 'c', 'd'], new Set(['a', 'b'])), 'b');
  assert.equal(successorOf('a', ['a'], new Set()), null);
});
