import assert from 'node:assert/strict';
import { test } from 'node:test';

import { commandOf, placeAfter, tabAfter } from '../src/keys.js';

const key = (name: string, more = {}) => ({ key: name, ctrlKey: false, metaKey: false, altKey: false, ...more });

test('keys mean something only by themselves', () => {
  assert.deepEqual(['j', 'k', 'ArrowDown', 'e', 'r', '?', 'x', 'Enter'].map((name) => commandOf(key(name))), [
    'next', 'previous', 'next', 'archive', 'read', 'help', undefined, undefined,
  ]); // prettier-ignore
  for (const held of ['ctrlKey', 'metaKey', 'altKey']) {
    assert.equal(commandOf(key('e', { [held]: true })), undefined);
    assert.equal(tabAfter(key('ArrowRight', { [held]: true }), 0, 3, false), undefined);
  }
});

test('rows end at the ends, and begin at the first', () => {
  assert.deepEqual([placeAfter('next', -1, 3), placeAfter('previous', -1, 3)], [0, 0]);
  assert.deepEqual([placeAfter('next', 1, 3), placeAfter('next', 2, 3), placeAfter('previous', 0, 3)], [2, 2, 0]);
  assert.deepEqual([placeAfter('first', 2, 3), placeAfter('last', 0, 3)], [0, 2]);
});

test('tabs go around, and the other way from right to left', () => {
  const go = (name: string, place: number, rtl = false) => tabAfter(key(name), place, 3, rtl);
  assert.deepEqual([go('ArrowRight', 2), go('ArrowLeft', 0), go('ArrowRight', 0, true), go('ArrowLeft', 2, true)], [0, 2, 2, 0]);
  assert.deepEqual([go('Home', 2), go('End', 0), go('ArrowDown', 1), go('a', 1)], [0, 2, undefined, undefined]);
});
