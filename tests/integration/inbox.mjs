// Keeps the inbox of a user with the JavaScript client, and tells it as a line of JSON after every change. A line of JSON
// on standard input is a call, [method, ...arguments]; what it resolves to is told too. Ends when the input does.
import { createInterface } from 'node:readline';

import { Bellwire, groupLabel } from '../../clients/javascript/src/index.js';

const [url, user, token] = process.argv.slice(2);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const inbox = new Bellwire({ url, token: () => token }).inbox(user, { limit: 5 });
const show = () => {
  const { items, unreadCount, unseenCount, unreadIn, cursor, state } = inbox;
  const labels = items.map((item) => groupLabel(item));
  tell({ type: 'inbox', items, labels, unreadCount, unseenCount, unreadIn, cursor, state });
};
for (const type of ['change', 'state']) inbox.addEventListener(type, show);
inbox.addEventListener('preferences', ({ detail }) => tell({ type: 'preferences', version: detail }));
inbox.addEventListener('error', ({ detail }) => tell({ type: 'error', message: detail.message }));

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const [method, ...given] = JSON.parse(line);
    const answer = await inbox[method](...given).catch(({ code, message }) => ({ code, message }));
    tell({ type: 'answer', method, answer: answer ?? null });
  })
  .on('close', () => inbox.close());
