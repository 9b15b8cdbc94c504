// Follows a user with the JavaScript client, and tells every event as a line of JSON. A line of JSON on standard
// input is a mark, {"mark": "markRead", "marks": …}; what it changed is told too. Ends when the input does.
import { createInterface } from 'node:readline';

import { Bellwire } from '../../clients/javascript/src/index.js';

const [url, user, token] = process.argv.slice(2);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const stream = new Bellwire({ url, token: () => token }).stream(user);

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { mark, marks } = JSON.parse(line);
    tell({ type: 'marked', mark, changed: await stream[mark](marks) });
  })
  .on('close', () => stream.close());

for await (const event of stream) tell(event);
