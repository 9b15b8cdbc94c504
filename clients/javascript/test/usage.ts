// Not run: what the declared types must allow.
import { Bellwire, BellwireError, groupLabel, Inbox, type Notification, type StreamEvent } from '../types/index.js';

export async function use(sockets: typeof WebSocket): Promise<Notification[]> {
  const client = new Bellwire({ url: 'http://localhost:8000', token: async () => 'token', WebSocket: sockets });
  const page = await client.notifications('ada', { status: 'all', limit: 50 });
  const inbox = new Inbox();
  inbox.load(page);
  const stream = client.stream('ada', { cursor: page.cursor, shared: true, storage: 'session', view: 'manual' });
  stream.addEventListener('counts', ({ detail }) => console.log(detail.unread_count + (detail.unread_in.billing ?? 0)));
  stream.addEventListener('notifications', ({ detail: { items } }) => console.log(items[0]?.message.length));
  try {
    for await (const event of stream) {
      if (!inbox.apply(event)) inbox.load(await client.notifications('ada'));
      if (event.type === 'disconnected' && event.final) break;
    }
  } catch (error) {
    if (error instanceof BellwireError && error.temporary) console.log(error.code, error.retryMs);
  }
  const changed: number = await stream.markRead(['id']);
  await stream.markSeen({ upTo: stream.cursor });
  await stream.markRead('id');
  const marked = await client.markRead('ada', { upTo: page.cursor, category: 'billing' });
  stream.close();
  return marked.unread_count > changed ? inbox.items : [];
}

export async function show(client: Bellwire): Promise<string[]> {
  const inbox = client.inbox('ada', { shared: true, limit: 50 });
  inbox.addEventListener('state', ({ detail }) => console.log(detail === 'offline'));
  inbox.addEventListener('arrived', ({ detail: [first] }) => console.log(first?.actions?.[0]?.label));
  await inbox.seen();
  await inbox.markRead('id');
  await inbox.markAllRead({ category: 'billing' });
  await inbox.snooze(['id'], new Date());
  if (inbox.hasMore()) await inbox.more({ unread: true });
  const { categories } = await inbox.setPreferences({ billing: false, comment: null });
  const titles = categories.filter(({ enabled }) => enabled).map(({ id, title }) => title ?? id);
  return [...titles, ...inbox.list({ category: 'billing' }).map((item) => groupLabel(item, { locale: 'en' }))];
}

// @ts-expect-error a token is required
new Bellwire({ url: 'http://localhost:8000' });

export const type = (event: StreamEvent) => event.type;
