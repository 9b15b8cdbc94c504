import assert from 'node:assert/strict';
import { test } from 'node:test';

import { snoozeTimes } from '../src/extras.js';
import { imageOf, initialsOf, isElsewhere, linkOf } from '../src/links.js';
import { fill } from '../src/strings.js';
import { tabsOf } from '../src/tabs.js';
import { ago } from '../src/times.js';
import { Viewed } from '../src/viewed.js';

test('texts are filled in, in the form that the number needs', () => {
  const text = { one: '{n} thing of {who}', other: '{n} things of {who}' };
  assert.equal(fill(text, 'en', { n: 1, who: 'Ada' }), '1 thing of Ada');
  assert.equal(fill(text, 'en', { n: 1234, who: '{n}' }), '1,234 things of {n}');
  assert.equal(fill('{there} {not}', 'de', { there: 1234 }), '1.234 {not}');
});

test('times are relative for a week', () => {
  const now = new Date('2026-06-15T12:00:00Z');
  const before = (seconds: number) => ago(new Date(now.getTime() - seconds * 1000), now, 'en');
  assert.deepEqual([0, 59, 60, 3599, 3600, 86_399, 86_400, 6 * 86_400].map(before), [
    'now', 'now', '1 min. ago', '59 min. ago', '1 hr. ago', '23 hr. ago', 'yesterday', '6 days ago',
  ]); // prettier-ignore
  assert.equal(before(-30), 'now', 'our clock is behind');
  assert.equal(before(-7200), 'now');
  assert.equal(before(8 * 86_400), 'Jun 7');
  assert.equal(before(400 * 86_400), 'May 11, 2025');
});

test('only what the service lets through is a link or an image', () => {
  const good = ['https://a.example/b?c#d', 'http://a.example', '/path?x=1', '/'];
  const bad = ['javascript:alert(1)', '//evil.example', 'https://u@evil.example', 'data:text/html,x', '/a b', '/a"b', '/a<b', 'ftp://a', '', null];
  assert.deepEqual(good.map(linkOf), good);
  assert.deepEqual([...bad, '\\\\evil', ' https://a.example', '/a\u202eb', 'HTTPS://a.example'].map(linkOf).filter(Boolean), []);
  assert.deepEqual(['https://a.example/i.png', '/i.png', 'http://a.example/i.png'].map(imageOf), ['https://a.example/i.png', '/i.png', null]);
  assert.equal(isElsewhere('/a', 'https://a.example'), false);
  assert.equal(isElsewhere('https://b.example/', 'https://a.example'), true);
});

test('initials are those of the first and last name', () => {
  assert.deepEqual(['Ada King Lovelace', 'ada', ' ', '👩‍🚀 Mae', 'Ångström'].map(initialsOf), ['AL', 'A', '', '👩M', 'Å']);
});

test('snoozing ends in the future, on the clock of the user', () => {
  const at = (now: Date) => snoozeTimes(now).map(([name, until]) => [name, Math.round((until.getTime() - now.getTime()) / 3_600_000)]);
  assert.deepEqual(at(new Date(2026, 5, 17, 8)), [['snoozeHour', 1], ['snoozeEvening', 10], ['snoozeTomorrow', 25], ['snoozeWeek', 121]]);
  assert.deepEqual(at(new Date(2026, 5, 15, 20)), [['snoozeHour', 1], ['snoozeTomorrow', 13], ['snoozeWeek', 157]], 'on a Monday');
  assert.deepEqual(at(new Date(2026, 5, 21, 20)), [['snoozeHour', 1], ['snoozeTomorrow', 13]], 'on a Sunday');
});

test('there is a tab for each category, with its title and how many are unread in it', () => {
  const feed = { unreadCount: 5, unreadIn: { build: 2 }, titles: () => new Map([['build', 'Builds']]) };
  const tabs = (categories: string | null) =>
    tabsOf(categories, feed, (name) => name).map(({ id, label, count }) => `${id} ${label} ${count}`);
  assert.deepEqual(tabs(''), ['all all null', 'unread unread 5']);
  assert.deepEqual(tabs('build  other').slice(2), ['in-build Builds 2', 'in-other other 0']);
  assert.deepEqual(tabs('build:My builds: all, other').slice(2), ['in-build My builds: all 2', 'in-other other 0']);
  assert.deepEqual(tabs(null), ['all all null']);
});

test('what was in sight for a second and a half was looked at', () => {
  const viewed = new Viewed();
  viewed.mark('a', true, 0);
  viewed.mark('b', true, 1000);
  viewed.mark('a', true, 1400);
  assert.deepEqual([viewed.wait(0), viewed.take(1499), viewed.take(1500), viewed.take(9999)], [1500, [], ['a'], ['b']]);
  assert.equal(viewed.wait(9999), null);
  viewed.mark('c', true, 10_000);
  viewed.mark('c', false, 11_000);
  viewed.mark('d', true, 11_000);
  viewed.restart(12_000);
  assert.deepEqual([viewed.take(13_400), viewed.take(13_500)], [[], ['d']]);
});
