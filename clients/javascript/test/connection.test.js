import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counts, cursor, news, welcome } from './fakes.js';
import { stage } from './stage.js';

test('it gets a ticket, and opens a socket with it, the cursor and the view', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream, of } = follow({ cursor: cursor(3), view: 'auto' });
  await settled();

  assert.deepEqual(service.requests, [
    {
      method: 'POST',
      url: 'https://bell.example/v1/stream-tickets',
      token: `Bearer ${service.tokens[0]}`,
      body: {},
    },
  ]);
  const { url, query, protocol, tell } = service.socket;
  assert.equal(url.origin + url.pathname, 'wss://bell.example/ws/ada');
  assert.deepEqual(query, { ticket: 't1', cursor: 'e1.3', view: 'auto' });
  assert.equal(protocol, 'bellwire.v1');
  assert.equal(stream.connected, false);

  tell(welcome(3, { resumed: true, unread_count: 2 }));
  assert.equal(stream.connected, true);
  assert.equal(stream.unreadCount, 2);
  assert.equal(of('connected').length, 1);
  assert.deepEqual(of('counts'), [{ type: 'counts', ...counts(2), cursor: 'e1.3' }]);
});

test('without a cursor it starts at now, and comes back with the newest', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const { stream, versions } = follow();
  await settled();
  assert.equal('cursor' in service.socket.query, false);
  service.socket.tell(welcome(7), news(7, 9), news(9, 10));
  service.socket.end();
  await clock.pass(500);

  assert.equal(service.socket.query.cursor, 'e1.10');
  assert.equal(service.socket.query.ticket, 't2');
  assert.equal(stream.cursor, 'e1.10');
  assert.deepEqual(versions(), [8, 9, 10]);
});

test('what comes twice is told once', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream, versions, of } = follow();
  await settled();
  service.socket.tell(welcome(1), news(1, 2), news(1, 2), news(0, 1), news(2, 3));

  assert.deepEqual(versions(), [2, 3]);
  assert.equal(stream.connected, true);
  assert.equal(of('disconnected').length, 0);
});

test('a hole is never told: it comes back with its cursor', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const { versions, of } = follow();
  await settled();
  service.socket.tell(welcome(1), news(1, 2));
  const first = service.socket;
  first.tell(news(3, 4));

  assert.equal(first.closed, true);
  assert.deepEqual(versions(), [2]);
  assert.equal(of('disconnected')[0].retry_ms, 500);
  await clock.pass(500);
  assert.equal(service.socket.query.cursor, 'e1.2');
  service.socket.tell(welcome(2, { resumed: true }), news(2, 4, { replay: true }));
  assert.deepEqual(versions(), [2, 3, 4]);
});

test('frames of a socket that was given up are not heard', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const { versions, of } = follow();
  await settled();
  const first = service.socket;
  first.tell(welcome(1), news(3, 4));
  first.tell(news(1, 2));
  first.end();

  assert.deepEqual(versions(), []);
  assert.equal(of('disconnected').length, 1);
  await clock.pass(60_000);
  assert.ok(service.sockets.length > 1);
});

test('the end of a catch-up moves the cursor, even past what left no trace', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream, of } = follow({ cursor: cursor(3) });
  await settled();
  service.socket.tell(
    welcome(3, { resumed: true }),
    { type: 'replayed', cursor: cursor(6), ...counts(1), preferences_version: 0 },
    news(6, 7),
  );

  assert.equal(stream.cursor, 'e1.7');
  assert.equal(of('replayed').length, 1);
});

test('after a reset it goes on from the new cursor, without another connection', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream, of, versions } = follow({ cursor: cursor(9, 'old') });
  await settled();
  const reset = { type: 'reset', cursor: cursor(2), ...counts(1), preferences_version: 0, reason: 'epoch' };
  service.socket.tell(welcome(2), reset, news(2, 3));

  assert.deepEqual(of('reset'), [reset]);
  assert.equal(of('connected')[0].reset, true);
  assert.deepEqual(versions(), [3]);
  assert.equal(stream.cursor, 'e1.3');
  assert.equal(service.sockets.length, 1);
});

test('a ping is answered', async (t) => {
  const { service, follow, settled } = stage(t);
  follow();
  await settled();
  service.socket.tell(welcome(1), { type: 'ping' });

  assert.deepEqual(service.socket.sent, [{ type: 'pong' }]);
});

test('frames of types it does not know move it if they follow it, and are ignored otherwise', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream, versions, of } = follow();
  await settled();
  const weather = (from, to, more = {}) => ({ type: 'weather', prev: cursor(from), cursor: cursor(to), ...more });
  service.socket.tell(welcome(1, { unread_count: 1 }), { type: 'rain' }, weather(8, 9), weather(1, 3));
  assert.deepEqual([stream.cursor, stream.unreadCount], ['e1.3', 1]);
  service.socket.tell(weather(3, 4, { ...counts(5), sky: 'blue' }), news(4, 5));

  assert.deepEqual(versions(), [5]);
  assert.deepEqual(of('update')[1], {
    ...{ type: 'update', ids: [], set: {}, prev: 'e1.3', cursor: 'e1.4' },
    ...{ ...counts(5), sky: 'blue' },
  });
  assert.equal(service.sockets.length, 1);
});

test('silence for longer than the ping interval and 10 s means that nobody is there', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const { stream } = follow();
  await settled();
  const first = service.socket;
  first.tell(welcome(1, { ping_interval: 5 }));
  await clock.pass(14_999);
  first.tell({ type: 'ping' });
  await clock.pass(14_999);
  assert.equal(stream.connected, true);
  await clock.pass(1);

  assert.equal(stream.connected, false);
  assert.equal(first.closed, true);
  await clock.pass(500);
  assert.equal(service.sockets.length, 2);
});

test('a socket on which no welcome comes is given up after 20 s', async (t) => {
  const { clock, service, follow } = stage(t);
  follow();
  await clock.pass(20_500);

  assert.equal(service.sockets.length, 2);
  assert.equal(service.sockets[0].closed, true);
});

/** The pauses before the next connections, each of which fails. */
async function pauses({ clock, service, follow, settled }, number) {
  const { of } = follow();
  await settled();
  for (let count = 0; count < number; count++) {
    service.socket.end();
    await clock.pass(of('disconnected').at(-1).retry_ms);
  }
  return of('disconnected').map(({ retry_ms }) => retry_ms);
}

test('pauses have full jitter, from 0.5 s up to 20 s', async (t) => {
  const longest = stage(t, { random: () => 1 });
  assert.deepEqual(await pauses(longest, 8), [1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000]);
  const shortest = stage(t, { random: () => 0 });
  assert.deepEqual(await pauses(shortest, 8), Array(8).fill(500));
});

test('only a connection that held for 30 s makes the pauses short again', async (t) => {
  const on = stage(t, { random: () => 1 });
  const { of } = on.follow();
  const held = async (milliseconds) => {
    await on.settled();
    on.service.socket.tell(welcome(1, { resumed: true }));
    await on.clock.pass(milliseconds);
    on.service.socket.end();
    const { retry_ms } = of('disconnected').at(-1);
    await on.clock.pass(retry_ms);
    return retry_ms;
  };

  assert.equal(await held(29_999), 1000);
  assert.equal(await held(29_999), 2000);
  assert.equal(await held(30_000), 1000);
});

test('a bye says after how long to come back, and jitter comes on top', async (t) => {
  const { service, follow, settled } = stage(t, { random: () => 0.5 });
  const { of } = follow();
  await settled();
  service.socket.tell(welcome(1));
  service.socket.bye(4002, 3000);

  assert.deepEqual(of('disconnected'), [
    { type: 'disconnected', code: 4002, reason: 'so', retry_ms: 3250, final: false },
  ]);
});

for (const code of [1001, 1006, 1012, 4000, 4001, 4006, 4499]) {
  test(`after ${code} it comes back`, async (t) => {
    const { clock, service, follow, settled } = stage(t);
    const { stream } = follow();
    await settled();
    service.socket.tell(welcome(1));
    service.socket.end(code);
    await clock.pass(500);

    assert.equal(stream.closed, false);
    assert.equal(service.socket.query.cursor, 'e1.1');
    assert.equal(service.sockets.length, 2);
  });
}

for (const code of [4500, 4510, 4515, 4999]) {
  test(`after ${code} it does not come back`, async (t) => {
    const { clock, service, follow, settled } = stage(t);
    const { stream, of } = follow();
    await settled();
    service.socket.bye(code);
    await clock.pass(100_000);

    assert.equal(stream.closed, true);
    assert.deepEqual(of('disconnected'), [
      { type: 'disconnected', code, reason: 'so', retry_ms: null, final: true },
    ]);
    assert.equal(service.sockets.length, 1);
    assert.equal(clock.pending, 0);
  });
}

test('an invalid token is replaced once, then it ends', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  const { stream } = follow();
  await settled();
  service.socket.bye(4511);
  await clock.pass(500);
  assert.equal(service.requests.at(-1).token, `Bearer ${service.tokens[1]}`);
  service.socket.tell(welcome(1));
  service.socket.bye(4511);
  await clock.pass(1000);
  assert.equal(service.tokens.length, 3);
  service.socket.bye(4511);
  await clock.pass(60_000);

  assert.equal(stream.closed, true);
  assert.equal(service.sockets.length, 3);
});

test('an expired token is replaced', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  follow();
  await settled();
  service.socket.tell(welcome(1));
  service.socket.bye(4004, 1000);
  await clock.pass(1000);

  assert.equal(service.tokens.length, 2);
  assert.equal(service.requests.at(-1).token, `Bearer ${service.tokens[1]}`);
  assert.equal(service.sockets.length, 2);
});

test('a ticket that is refused with 401 is asked for once more with another token', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  service.answer = ({ token }) => (token.endsWith(service.tokens[0]) ? [401, { detail: 'no' }] : undefined);
  follow();
  await settled();
  assert.equal(service.sockets.length, 1);

  service.answer = () => [401, { type: 'urn:bellwire:problem:not-authenticated', detail: 'Never.' }];
  const { stream, of } = follow();
  await clock.pass(1000);
  assert.equal(stream.closed, true);
  assert.equal(of('disconnected')[0].reason, 'Never.');
});

test('while the service is away it keeps trying, not sooner than it was asked to', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  service.answer = () => [503, { detail: 'away' }, { 'Retry-After': '7' }];
  const { of } = follow();
  await settled();
  assert.equal(of('disconnected')[0].retry_ms, 7000);
  service.answer = () => {
    throw new TypeError('fetch failed');
  };
  await clock.pass(7000);
  assert.equal(of('disconnected')[1].reason, 'fetch failed');
  service.answer = null;
  await clock.pass(500);

  assert.equal(service.sockets.length, 1);
});

test('a token that cannot be had now is asked for again', async (t) => {
  const { clock, service, tab, follow, settled } = stage(t);
  let tries = 0;
  const token = async () => {
    if (++tries === 1) throw new Error('the login is away');
    return service.token();
  };
  const { of } = follow({}, tab({ token }));
  await settled();
  assert.equal(of('disconnected')[0].reason, 'the login is away');
  await clock.pass(500);

  assert.equal(service.sockets.length, 1);
});

test('a token is renewed in place before it expires, whatever our clock says', async (t) => {
  const { clock, service, follow, settled } = stage(t);
  follow();
  await settled();
  // 600 s are left of this one, though it was made for an hour: the next one's hour counts from there.
  service.socket.tell(welcome(1, { token_expires_in: 600, ping_interval: 100_000 }));
  await clock.pass(539_999);
  assert.deepEqual(service.socket.sent, []);
  await clock.pass(1);
  assert.deepEqual(service.socket.sent, [{ type: 'refresh', token: service.tokens[1], ref: 'refresh' }]);
  service.socket.tell({ type: 'ok', ref: 'refresh', changed: 0 });

  // The first expired 3,600 s after it was made by its own clock; the service was 3,000 s ahead of that.
  await clock.pass(539_999 + 1);
  assert.deepEqual(service.socket.sent.length, 2);
  assert.equal(service.sockets.length, 1);
});

test('while no other token is to be had it asks again, more and more often, and stays', async (t) => {
  const { clock, service, tab, follow, settled } = stage(t);
  let tries = 0;
  const only = service.token();
  const token = async () => {
    tries++;
    return only;
  };
  const { stream } = follow({}, tab({ token }));
  await settled();
  service.socket.tell(welcome(1, { token_expires_in: 3600, ping_interval: 100_000 }));
  await clock.pass(3_540_000);
  assert.equal(tries, 2);
  await clock.pass(59_900);

  assert.ok(tries > 3 && tries < 8, `${tries} tries`);
  assert.deepEqual(service.socket.sent, []);
  assert.equal(stream.connected, true);
});

test('while the browser is offline it is not connected and does not try; online again it does at once', async (t) => {
  const { clock, service, page, follow, settled } = stage(t);
  const { stream, of } = follow();
  await settled();
  service.socket.tell(welcome(4));
  const first = service.socket;
  page.online(false);
  assert.equal(stream.connected, false);
  assert.equal(first.closed, true);
  assert.deepEqual(of('disconnected'), [
    { type: 'disconnected', code: null, reason: 'The browser is offline', retry_ms: null, final: false },
  ]);
  await clock.pass(600_000);
  assert.equal(service.sockets.length, 1);
  assert.equal(clock.pending, 0);
  page.online(true);
  await settled();

  assert.equal(service.sockets.length, 2);
  assert.equal(service.socket.query.cursor, 'e1.4');
});

test('a try that is planned waits when the browser has gone offline', async (t) => {
  const { clock, service, page, follow, settled } = stage(t);
  const { of } = follow();
  await settled();
  service.socket.end();
  page.online(false);
  await clock.pass(600_000);

  assert.equal(service.sockets.length, 1);
  assert.equal(of('disconnected').at(-1).retry_ms, null);
});

test('a browser that says only that it is online again has its socket replaced', async (t) => {
  const { clock, service, page, follow, settled } = stage(t);
  follow();
  await settled();
  service.socket.tell(welcome(4));
  const first = service.socket;
  page.online(true);
  await clock.pass(0);

  assert.equal(first.closed, true);
  assert.equal(service.socket.query.cursor, 'e1.4');
});

test('when the page becomes visible it tries at once', async (t) => {
  const { clock, service, page, follow, settled } = stage(t);
  follow();
  await settled();
  service.socket.bye(4006, 15_000);
  page.visible(false);
  await settled();
  assert.equal(service.sockets.length, 1);
  page.visible(true);
  await settled();

  assert.equal(service.sockets.length, 2);
  await clock.pass(16_000);
  assert.equal(service.sockets.length, 2);
});

test('a page that slept finds a dead socket when it becomes visible', async (t) => {
  const { clock, service, page, follow, settled } = stage(t);
  const { stream } = follow();
  await settled();
  service.socket.tell(welcome(1));
  clock.time += 3_600_000; // its timers did not run
  page.visible(true);

  assert.equal(stream.connected, false);
  assert.equal(service.socket.closed, true);
  await clock.pass(500);
  assert.equal(service.sockets.length, 2);
});

test('a page that is left has no socket; shown again it resumes', async (t) => {
  const { clock, service, page, follow, settled } = stage(t);
  const { stream, versions } = follow();
  await settled();
  service.socket.tell(welcome(1), news(1, 2));
  page.says('pagehide');
  assert.equal(service.socket.closed, true);
  assert.equal(stream.connected, false);
  await clock.pass(600_000);
  assert.equal(service.sockets.length, 1);
  page.says('pageshow');
  await settled();
  assert.equal(service.socket.query.cursor, 'e1.2');
  service.socket.tell(welcome(2, { resumed: true }), news(2, 3, { replay: true }));

  assert.deepEqual(versions(), [2, 3]);
});

test('a page that is shown for the first time has one socket', async (t) => {
  const { service, page, follow, settled } = stage(t);
  follow();
  page.says('pageshow');
  await settled();

  assert.equal(service.sockets.length, 1);
});

test('a stream that is closed leaves nothing behind', async (t) => {
  const { clock, service, page, follow, settled } = stage(t);
  const { stream, told } = follow();
  await settled();
  service.socket.tell(welcome(1));
  stream.close();
  const before = told.length;
  for (const what of ['offline', 'online', 'pagehide', 'pageshow']) page.says(what);
  page.visible(true);
  await clock.pass(600_000);

  assert.equal(service.socket.closed, true);
  assert.equal(service.sockets.length, 1);
  assert.equal(clock.pending, 0);
  assert.equal(told.length, before);
});

test('a stream that is closed while it waits for a ticket opens no socket', async (t) => {
  const { service, follow, settled } = stage(t);
  const { stream } = follow();
  stream.close();
  await settled();

  assert.equal(service.sockets.length, 0);
});
