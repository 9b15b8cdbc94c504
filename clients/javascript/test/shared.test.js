import assert from 'node:assert/strict';
import { test } from 'node:test';

import { channels, counts, cursor, Locks, news, Page, welcome } from './fakes.js';
import { stage } from './stage.js';

/** A browser: tabs of one origin, each with a page of its own. */
function browser(t) {
  const locks = new Locks();
  const BroadcastChannel = channels();
  const on = stage(t, { locks, BroadcastChannel });
  const tab = async (options = {}) => {
    const page = new Page();
    const own = on.tab({ page, document: page.document, navigator: page.navigator });
    const followed = on.follow({ shared: true, ...options }, own);
    await on.settled();
    return { ...followed, page };
  };
  return { ...on, tab, BroadcastChannel };
}

test('tabs share one socket, and each is told everything once', async (t) => {
  const { service, tab, settled } = browser(t);
  const tabs = [await tab(), await tab(), await tab()];
  service.socket.tell(welcome(1, { unread_count: 1 }), news(1, 2), news(2, 4));
  await settled();

  assert.equal(service.sockets.length, 1);
  for (const { stream, versions } of tabs) {
    assert.deepEqual(versions(), [2, 3, 4]);
    assert.equal(stream.cursor, 'e1.4');
    assert.equal(stream.unreadCount, 4);
    assert.equal(stream.connected, true);
  }
});

test('a tab that is closed is told nothing more, and the others are', async (t) => {
  const { service, tab, settled } = browser(t);
  const [first, second] = [await tab(), await tab()];
  service.socket.tell(welcome(1));
  await settled();
  second.stream.close();
  const before = second.told.length;
  service.socket.tell(news(1, 2));
  await settled();

  assert.equal(second.told.length, before);
  assert.deepEqual(first.versions(), [2]);
});

test('tabs of other users, and streams that view otherwise, have their own', async (t) => {
  const { service, tab, client, settled } = browser(t);
  await tab();
  await tab({ view: 'auto' });
  const other = client.stream('bob', { shared: true });
  await settled();
  other.close();

  assert.equal(service.sockets.length, 3);
});

test('a tab that comes later is connected at once, from where the others are', async (t) => {
  const { service, tab, settled } = browser(t);
  const others = [await tab(), await tab()];
  service.socket.tell(welcome(1), news(1, 5));
  const late = await tab();
  for (const { of } of others) assert.equal(of('connected').length, 1);
  assert.equal(late.stream.connected, true);
  assert.equal(late.stream.cursor, 'e1.5');
  assert.equal(late.stream.unreadCount, 5);
  service.socket.tell(news(5, 6));
  await settled();

  assert.deepEqual(late.versions(), [6]);
});

test('a tab that is ahead of the others passes over what it has', async (t) => {
  const { service, tab, settled } = browser(t);
  await tab();
  service.socket.tell(welcome(1), news(1, 2));
  const ahead = await tab({ cursor: cursor(4) });
  service.socket.tell(news(2, 3), news(3, 6));
  await settled();

  assert.deepEqual(ahead.versions(), [5, 6]);
  assert.equal(service.sockets.length, 1);
});

test('a tab that is behind has what it missed, the others have nothing twice', async (t) => {
  const { clock, service, tab, settled } = browser(t);
  const first = await tab();
  service.socket.tell(welcome(4), news(4, 6));
  const behind = await tab({ cursor: cursor(2) });
  await clock.pass(0);
  assert.equal(service.sockets.length, 2);
  assert.equal(service.socket.query.cursor, 'e1.2');
  service.socket.tell(
    welcome(2, { resumed: true, unread_count: 6 }),
    news(2, 5, { replay: true }),
    news(5, 7, { replay: true }),
    { type: 'replayed', cursor: cursor(7), ...counts(7), preferences_version: 0 },
    news(7, 8),
  );
  await settled();

  assert.deepEqual(first.versions(), [5, 6, 7, 8]);
  assert.deepEqual(behind.versions(), [3, 4, 5, 6, 7, 8]);
  assert.equal(service.sockets.length, 2);
});

test('the furthest behind decides where a catch-up begins', async (t) => {
  const { clock, service, tab, settled } = browser(t);
  await tab();
  service.socket.tell(welcome(8));
  const behind = await tab({ cursor: cursor(2) });
  await clock.pass(0);
  service.socket.tell(welcome(2, { resumed: true }));
  const further = await tab({ cursor: cursor(1) });
  await clock.pass(0);
  assert.equal(service.socket.query.cursor, 'e1.1');
  service.socket.tell(welcome(1, { resumed: true }), news(1, 8, { replay: true }));
  await settled();

  assert.deepEqual(behind.versions(), [3, 4, 5, 6, 7, 8]);
  assert.deepEqual(further.versions(), [2, 3, 4, 5, 6, 7, 8]);
  assert.equal(service.sockets.length, 3);
});

test('a tab with a cursor of another epoch is reset alone', async (t) => {
  const { service, tab, settled } = browser(t);
  const others = [await tab(), await tab()];
  service.socket.tell(welcome(3), news(3, 4));
  const old = await tab({ cursor: cursor(9, 'e0') });
  await settled();
  service.socket.tell(news(4, 5));
  await settled();

  assert.deepEqual(old.of('reset'), [
    { type: 'reset', cursor: 'e1.4', ...counts(4), preferences_version: 0, reason: 'epoch' },
  ]);
  assert.deepEqual(old.versions(), [5]);
  for (const { of } of others) assert.deepEqual(of('reset'), []);
  assert.equal(service.sockets.length, 1);
});

test('a reset reaches every tab', async (t) => {
  const { service, tab, settled } = browser(t);
  const tabs = [await tab({ cursor: cursor(9) }), await tab({ cursor: cursor(9) })];
  const reset = { type: 'reset', cursor: cursor(2, 'e2'), ...counts(0), preferences_version: 0, reason: 'epoch' };
  service.socket.tell(welcome(2, { cursor: cursor(2, 'e2') }), reset);
  await settled();

  for (const { of, stream } of tabs) {
    assert.deepEqual(of('reset'), [reset]);
    assert.equal(stream.cursor, 'e2.2');
  }
  assert.equal(service.sockets.length, 1);
});

for (const [how, leave] of [
  ['is closed', ({ stream }) => stream.close()],
  ['is left', ({ page }) => page.says('pagehide')],
]) {
  test(`when the leader ${how} another takes over, without a hole or a duplicate`, async (t) => {
    const { service, tab, settled } = browser(t);
    const [first, second, third] = [await tab(), await tab(), await tab()];
    service.socket.tell(welcome(0), news(0, 1));
    await settled();
    const led = service.socket;
    leave(first);
    await settled();

    assert.equal(led.closed, true);
    assert.equal(service.sockets.length, 2);
    assert.equal(service.socket.query.cursor, 'e1.1');
    assert.equal(third.stream.connected, false);
    service.socket.tell(welcome(1, { resumed: true }), news(1, 3, { replay: true }), news(3, 4));
    await settled();
    for (const { versions } of [second, third]) assert.deepEqual(versions(), [1, 2, 3, 4]);
    assert.equal(third.stream.connected, true);
    assert.deepEqual(first.versions(), [1]);
  });
}

test('a page that is shown again follows the tab that leads now, from its own cursor', async (t) => {
  const { clock, service, tab, settled } = browser(t);
  const [first, second] = [await tab(), await tab()];
  service.socket.tell(welcome(0), news(0, 1));
  await settled();
  first.page.says('pagehide');
  await settled();
  service.socket.tell(welcome(1, { resumed: true }), news(1, 3));
  first.page.says('pageshow');
  await settled();
  await clock.pass(0);
  assert.equal(service.socket.query.cursor, 'e1.1');
  service.socket.tell(welcome(1, { resumed: true }), news(1, 4, { replay: true }));
  await settled();

  assert.deepEqual(first.versions(), [1, 2, 3, 4]);
  assert.deepEqual(second.versions(), [1, 2, 3, 4]);
});

for (const [what, next] of [
  ['a frame', news(1, 2)],
  ['the end of a catch-up', { type: 'replayed', cursor: cursor(2), ...counts(2), preferences_version: 0 }],
]) {
  test(`a tab that missed something asks for it when ${what} shows it`, async (t) => {
    const { clock, service, tab, settled, BroadcastChannel } = browser(t);
    const first = await tab();
    service.socket.tell(welcome(0));
    const second = await tab();
    BroadcastChannel.lossy = true;
    service.socket.tell(news(0, 1));
    BroadcastChannel.lossy = false;
    service.socket.tell(next);
    await settled();
    assert.deepEqual(second.versions(), []);
    assert.equal(second.stream.cursor, 'e1.0');
    await clock.pass(0);
    assert.equal(service.socket.query.cursor, 'e1.0');
    service.socket.tell(welcome(0, { resumed: true }), news(0, 3, { replay: true }));
    await settled();

    assert.deepEqual(second.versions(), [1, 2, 3]);
    assert.deepEqual([...new Set(first.versions())], first.versions());
    assert.equal(service.sockets.length, 2);
  });
}

test('a call for what is missing that was lost is repeated', async (t) => {
  const { clock, service, tab, settled, BroadcastChannel } = browser(t);
  await tab();
  service.socket.tell(welcome(0, { ping_interval: 100 }));
  const second = await tab();
  BroadcastChannel.lossy = true;
  service.socket.tell(news(0, 1));
  BroadcastChannel.lossy = false;
  service.socket.tell(news(1, 2));
  BroadcastChannel.lossy = true;
  await settled();
  await clock.pass(4_999);
  BroadcastChannel.lossy = false;
  service.socket.tell(news(2, 3));
  await settled();
  assert.equal(service.sockets.length, 1);
  await clock.pass(1);
  service.socket.tell(news(3, 4));
  await settled();
  await clock.pass(0);
  service.socket.tell(welcome(0, { resumed: true }), news(0, 4, { replay: true }));
  await settled();

  assert.deepEqual(second.versions(), [1, 2, 3, 4]);
  assert.equal(service.sockets.length, 2);
});

test('a call for what is missing that met no connection is repeated on the next', async (t) => {
  const { clock, service, tab, settled, BroadcastChannel } = browser(t);
  await tab();
  service.socket.tell(welcome(0));
  const second = await tab();
  BroadcastChannel.lossy = true;
  service.socket.tell(news(0, 1));
  BroadcastChannel.lossy = false;
  service.socket.tell(news(1, 2));
  service.socket.end();
  await clock.pass(500);
  service.socket.tell(welcome(2, { resumed: true }));
  await settled();
  await clock.pass(0);
  assert.equal(service.socket.query.cursor, 'e1.0');
  service.socket.tell(welcome(0, { resumed: true }), news(0, 2, { replay: true }));
  await settled();

  assert.deepEqual(second.versions(), [1, 2]);
});

test('when any of the tabs becomes visible the next try is made at once', async (t) => {
  const { service, tab, settled } = browser(t);
  await tab();
  const second = await tab();
  service.socket.bye(4006, 15_000);
  second.page.visible(true);
  await settled();

  assert.equal(service.sockets.length, 2);
});

test('marks of any tab go through the leader, and their answers come back', async (t) => {
  const { service, tab, settled } = browser(t);
  const [first, second, third] = [await tab(), await tab(), await tab()];
  service.socket.tell(welcome(3));
  await settled();
  const answers = [first, second, third].map(({ stream }, index) => stream.markRead([`id ${index}`]));
  await settled();
  const { sent, tell } = service.socket;
  assert.deepEqual(sent.flatMap(({ ids }) => ids).sort(), ['id 0', 'id 1', 'id 2']);
  assert.equal(new Set(sent.map(({ ref }) => ref)).size, 3);
  for (const { ref, ids } of sent) tell({ type: 'ok', ref, changed: Number(ids[0].slice(3)) });

  assert.deepEqual(await Promise.all(answers), [0, 1, 2]);
});

test('marks that a leader took with it are sent again by the next', async (t) => {
  const { service, tab, settled } = browser(t);
  const [first, second, third] = [await tab(), await tab(), await tab()];
  service.socket.tell(welcome(3));
  await settled();
  const answers = [second, third].map(({ stream }) => stream.markRead(['a']));
  await settled();
  assert.equal(service.socket.sent.length, 2);
  first.stream.close();
  await settled();
  service.socket.tell(welcome(3, { resumed: true }));
  await settled();
  const { sent, tell } = service.socket;
  assert.equal(sent.length, 2);
  for (const { ref } of sent) tell({ type: 'ok', ref, changed: 1 });

  assert.deepEqual(await Promise.all(answers), [1, 1]);
});

test('what is refused for good ends every tab, and nobody tries again', async (t) => {
  const { clock, service, tab, settled } = browser(t);
  const tabs = [await tab(), await tab()];
  service.socket.bye(4515);
  await settled();
  for (const { stream, of } of tabs) {
    assert.equal(stream.closed, true);
    assert.equal(of('disconnected').at(-1).final, true);
  }
  const { length } = service.sockets;
  await clock.pass(600_000);

  assert.equal(service.sockets.length, length);
  assert.equal(clock.pending, 0);
});

test('without Web Locks each tab has its own socket', async (t) => {
  const on = stage(t, { locks: undefined, BroadcastChannel: channels(), navigator: {} });
  on.follow({ shared: true });
  on.follow({ shared: true });
  await on.settled();

  assert.equal(on.service.sockets.length, 2);
});
