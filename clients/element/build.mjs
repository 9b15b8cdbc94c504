// Builds the element: node build.mjs [folder]. ES modules; what is loaded on demand is a chunk of its own. The folder
// that the API serves is ../../src/entrypoints/http/element: build into it too, and commit what changes.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { readFileSync } from 'node:fs';
import { build } from 'esbuild';

/** What a page loads before anything is opened: the entry and the chunks it imports, gzip -9. */
export const MOST_BYTES = 16_000;

/** @param {string} outdir */
export async function make(outdir) {
  await rm(outdir, { recursive: true, force: true });
  await mkdir(outdir, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: fileURLToPath(new URL('.', import.meta.url)),
    entryPoints: ['src/v1.ts'],
    outdir,
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    chunkNames: '[name]-[hash]',
    legalComments: 'none',
    charset: 'utf8',
    metafile: true,
    logLevel: 'warning',
  });
  await copyForGood(outdir);
  return metafile;
}

/**
 * Write the entry once more under a name that changes with it, which may be cached for good.
 * @param {string} outdir
 */
async function copyForGood(outdir) {
  const entry = await readFile(join(outdir, 'v1.js'));
  const hash = createHash('sha256').update(entry).digest('hex').slice(0, 8).toUpperCase();
  await writeFile(join(outdir, `v1-${hash}.js`), entry);
}

/**
 * The built files that are loaded at once.
 * @param {import('esbuild').Metafile} metafile
 */
export function loaded({ outputs }) {
  const found = new Set();
  const follow = (/** @type {string} */ name) => {
    if (found.has(name)) return;
    found.add(name);
    for (const { path, kind } of outputs[name].imports) if (kind === 'import-statement') follow(path);
  };
  follow(Object.keys(outputs).find((name) => name.endsWith('/v1.js') || name === 'v1.js'));
  return [...found];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const outdir = resolve(process.argv[2] ?? join(here, 'dist'));
  const metafile = await make(outdir);
  const first = new Set(loaded(metafile));
  let total = 0;
  for (const name of Object.keys(metafile.outputs)) {
    const size = gzipSync(readFileSync(resolve(here, name)), { level: 9 }).length;
    if (first.has(name)) total += size;
    console.log(`${String(size).padStart(7)}  ${name}${first.has(name) ? '' : '  (on demand)'}`);
  }
  console.log(`${String(total).padStart(7)}  loaded at once, of at most ${MOST_BYTES} bytes gzip -9`);
  if (total > MOST_BYTES) process.exitCode = 1;
}
