import { Bellwire } from '../src/index.js';
import { Clock, Page, Service, settled } from './fakes.js';

/** A client among fakes. What a test leaves open ends with it. */
export function stage(t, given = {}) {
  const clock = new Clock();
  const service = new Service(clock);
  const page = new Page();
  const open = [];
  const tab = (more = {}) =>
    new Bellwire({
      url: 'https://bell.example',
      token: service.token,
      WebSocket: service.WebSocket,
      fetch: service.fetch,
      setTimeout: clock.setTimeout,
      clearTimeout: clock.clearTimeout,
      now: clock.now,
      random: () => 0,
      page,
      document: page.document,
      navigator: page.navigator,
      ...given,
      ...more,
    });
  const client = tab();
  /** Open a stream, and note what it tells. */
  const follow = (options = {}, by = client) => {
    const stream = by.stream('ada', options);
    const told = [];
    const frames = ['notifications', 'update', 'replayed', 'reset', 'error'];
    const types = ['connected', 'disconnected', ...frames, 'counts', 'preferences'];
    for (const type of types) stream.addEventListener(type, ({ detail }) => told.push(detail));
    open.push(stream);
    return {
      stream,
      told,
      of: (type) => told.filter((event) => event.type === type),
      /** The versions of the notifications that it told, in order. */
      versions: () =>
        told.flatMap((event) => (event.type === 'notifications' ? event.items.map(({ version }) => version) : [])),
    };
  };
  t.after(() => open.forEach((stream) => stream.close()));
  return { clock, service, page, client, tab, follow, settled };
}
