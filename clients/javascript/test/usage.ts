// Not run: what the declared types must allow.
import { Bellwire, BellwireError, Inbox, type Notification, type StreamEvent } from '../types/index.js';

export async function use(sockets: typeof WebSocket): Promise<Notification[]> {
  const client = new Bellwire({ url: 'http://localhost:8000', token: async () => 'token', WebSocket: sockets });
  const page = await client.notifications('ada', { status: 'all', limit: 50 });
  const inbox = new Inbox();
  inbox.load(page);
  const stream = client.stream('ada', { cursor: page.cursor, shared: true, storage: 'session', view: 'manual' });
  stream.addEventListener('unread', ({ detail }) => console.log(detail.unread_count + 1));
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
  const marked = await client.markRead('ada', { upTo: page.cursor });
  stream.close();
  return marked.unread_count > changed ? inbox.items : [];
}

// @ts-expect-error a token is required
new Bellwire({ url: 'http://localhost:8000' });

export const type = (event: StreamEvent) => event.type;
