import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { domprops } from '../node_modules/terser/tools/domprops.js';

// npm runs it in the folder of the package.
const read = (path: string): string => readFileSync(path, 'utf8');
const INTERNAL: string[] = JSON.parse(read('internal.json'));
const words = (text: string) => new Set(text.match(/\w+/g));
const sources = ['src', '../javascript/src'].flatMap((folder) => readdirSync(folder).filter((name) => /\.[jt]s$/.test(name)).map((name) => read(`${folder}/${name}`)));

test('what the build renames is not the name of anything of the browser', () => {
  const known = new Set(domprops);
  assert.deepEqual(INTERNAL.filter((name) => known.has(name)), []);
});

test('nor of the elements, of the texts or of the wire', () => {
  const { modules } = JSON.parse(read('custom-elements.json'));
  const members = modules.flatMap(({ declarations }: { declarations: { members: { name: string }[] }[] }) => declarations.flatMap((one) => one.members));
  const texts = read('src/strings.ts');
  const wire = [...read('../javascript/src/protocol.js').matchAll(/@property \{.*\} \[?(\w+)/g)];
  assert.ok(members.length > 10 && wire.length > 30);
  const known = new Set([...members.map(({ name }: { name: string }) => name), ...wire.map(([, name]) => name), ...words(texts)]);
  assert.deepEqual(INTERNAL.filter((name) => known.has(name)), []);
});

test('nor is it written as a string anywhere, which would stay as it is', () => {
  const code = sources.join('\n').replaceAll(/\b(Pick|Omit)<[^>]*>/g, '');
  const strings = new Set([...code.matchAll(/(['"`])(\w+)\1/g)].map(([, , inside]) => inside));
  assert.deepEqual(INTERNAL.filter((name) => strings.has(name)), []);
});

test('each is used', () => {
  const used = words(sources.join('\n'));
  assert.deepEqual(INTERNAL.filter((name) => !used.has(name)), []);
});
