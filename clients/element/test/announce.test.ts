import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Announcer, type Sentence } from '../src/announce.js';
import type { Notification } from '../src/feed.js';

function listening() {
  let time = 0;
  const said: [number, string][] = [];
  const due: [number, () => void][] = [];
  const voice = {
    say: (text: string) => said.push([time, text]),
    now: () => time,
    later: (work: () => void, milliseconds: number) => due.push([time + milliseconds, work]),
  };
  const pass = (until: number) => {
    for (;;) {
      due.sort(([one], [other]) => one - other);
      if (!due.length || due[0][0] > until) break;
      const [at, work] = due.shift()!;
      time = at;
      work();
    }
    time = until;
  };
  return { announcer: new Announcer(voice), said, pass };
}

const item = (id: string) => ({ id }) as Notification;
const sentence: Sentence = (count, latest) => `${count}, latest ${latest.id}`;

test('what comes within five seconds is one sentence, told of by whomever', () => {
  const { announcer, said, pass } = listening();
  announcer.arrived([item('1')], sentence);
  announcer.arrived([item('1')], sentence); // another element, the same feed
  pass(1);
  announcer.arrived([item('2')], sentence);
  pass(2_000);
  announcer.arrived([item('4'), item('3')], sentence);
  pass(60_000);
  assert.deepEqual(said, [[0, '1, latest 1'], [5_000, '3, latest 4']]);
});

test('what the user did goes before what arrived, and only the last of it counts', () => {
  const { announcer, said, pass } = listening();
  pass(10_000);
  announcer.arrived([item('1')], sentence);
  announcer.note('one');
  announcer.note('other');
  pass(60_000);
  assert.deepEqual(said, [[10_000, 'other'], [15_000, '1, latest 1']]);
});
