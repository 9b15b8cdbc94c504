import assert from 'node:assert/strict';
import { test } from 'node:test';

import { groupLabel } from '../src/index.js';

const of = (actor_count, ...names) => ({ actor_count, actors: names.map((name) => ({ name })) });

for (const [given, label] of [
  [of(1, 'Ada'), 'Ada'],
  [of(2, 'Ada', 'Grace'), 'Ada and Grace'],
  [of(3, 'Ada', 'Grace', 'Edsger'), 'Ada and 2 others'],
  [of(2, 'Ada'), 'Ada and 1 other'],
  [of(5, 'Ada', 'Grace', 'Edsger'), 'Ada and 4 others'],
  [of(100, 'Ada', 'Grace', 'Edsger'), 'Ada and 99+ others'],
  [of(undefined, 'Ada', 'Grace'), 'Ada and Grace'],
  [{ count: 1200 }, '1,200 ×'],
  [{ count: 1 }, ''],
  [{}, ''],
]) {
  test(`${JSON.stringify(given)} is "${label}"`, () => assert.equal(groupLabel(given), label));
}

test('other languages have their own words and plurals', () => {
  const plurals = { one: 'jeden inny', few: 'inni', many: 'innych' };
  const others = (count, plural) => (plural === 'one' ? plurals.one : `${count} ${plurals[plural]}`);
  const polish = (count) => groupLabel(of(count, 'Ada', 'Grace', 'Edsger'), { locale: 'pl', others });
  assert.deepEqual([polish(4), polish(7)], ['Ada i 3 inni', 'Ada i 6 innych']);
});
