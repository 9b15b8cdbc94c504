// Runs the tests: bundles the TypeScript that they import into a temporary folder, because Node 20 does not read it.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'bellwire-element-'));
try {
  const names = (await readdir(here)).filter((name) => name.endsWith('.test.ts'));
  const entryPoints = names.map((name) => join(here, name));
  await build({ entryPoints, outdir: folder, bundle: true, platform: 'node', format: 'esm', outExtension: { '.js': '.mjs' }, logLevel: 'warning' });
  const files = names.map((name) => join(folder, name.replace(/ts$/, 'mjs')));
  process.exitCode = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' }).status ?? 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
