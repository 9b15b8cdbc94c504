// Builds the element: node build.mjs [folder]. ES modules; what is loaded on demand is a chunk of its own. The folder
// that the API serves is ../../src/entrypoints/http/element: build into it too, and commit what changes.
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { readFileSync } from 'node:fs';
import { build, transform } from 'esbuild';
import { minify } from 'terser';

/** What a page loads before anything is opened: the entry and the chunks it imports, gzip -9. */
export const MOST_BYTES = 14_000;
/** The same with what is loaded on demand, without the languages. */
export const MOST_IN_ALL = 25_000;

const here = new URL('.', import.meta.url);
const TERSER = JSON.parse(readFileSync(new URL('package.json', here), 'utf8')).devDependencies.terser;
/** @type {import('terser').MinifyOptions} */
const SQUEEZED = {
  module: true,
  ecma: 2020,
  compress: { passes: 3, unsafe_arrows: true, unsafe_methods: true, keep_fargs: false, pure_getters: true },
};

/** Names of properties that no page, browser, server or other tab knows: they are shortened. */
const INTERNAL = JSON.parse(readFileSync(new URL('internal.json', here), 'utf8'));

/** Style sheets are template strings without holes, on lines of their own. */
const styles = {
  name: 'styles',
  setup(/** @type {import('esbuild').PluginBuild} */ { onLoad }) {
    onLoad({ filter: /element\/src\/[\w-]+\.ts$/ }, async ({ path }) => {
      const parts = (await readFile(path, 'utf8')).split(/`\n([^`]*)`/);
      for (let place = 1; place < parts.length; place += 2) {
        const { code } = await transform(parts[place], { loader: 'css', minify: true, target: 'es2022' });
        parts[place] = JSON.stringify(code.trim());
      }
      return { contents: parts.join(''), loader: 'ts' };
    });
  },
};

/** @param {string} outdir */
export async function make(outdir) {
  await rm(outdir, { recursive: true, force: true });
  await mkdir(outdir, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: fileURLToPath(here),
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
    plugins: [styles],
    // Names have a hash of what esbuild writes: that terser does otherwise is to change them too. It drops comments.
    footer: { js: `// ${JSON.stringify([TERSER, SQUEEZED])}` },
    mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`),
  });
  for (const name of Object.keys(metafile.outputs)) await squeeze(resolve(fileURLToPath(here), name));
  return renamed(outdir, metafile);
}

/** What esbuild leaves, terser takes out. @param {string} path */
async function squeeze(path) {
  const { code } = await minify(await readFile(path, 'utf8'), SQUEEZED);
  await writeFile(path, /** @type {string} */ (code));
}

/**
 * Name the file that has all that is loaded at once after the entry, which only passes it on: its name changes with
 * its content, so it may be cached for good, and one integrity covers it. What is loaded on demand imports this file
 * too, so that there is one instance of it, whichever name a page has used.
 * @param {string} outdir
 * @param {import('esbuild').Metafile} metafile
 */
async function renamed(outdir, metafile) {
  const entry = Object.keys(metafile.outputs).find((name) => basename(name) === 'v1.js');
  const [{ path }] = metafile.outputs[entry].imports.filter(({ kind }) => kind === 'import-statement');
  const [old, name] = [basename(path), basename(path).replace('chunk', 'v1')];
  await rename(join(outdir, old), join(outdir, name));
  for (const file of await readdir(outdir)) {
    const text = await readFile(join(outdir, file), 'utf8');
    await writeFile(join(outdir, file), text.replaceAll(old, name));
  }
  return JSON.parse(JSON.stringify(metafile).replaceAll(old, name));
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
  const outdir = resolve(process.argv[2] ?? fileURLToPath(new URL('dist', here)));
  const metafile = await make(outdir);
  const first = new Set(loaded(metafile));
  const languages = new Set((await readdir(new URL('src/languages', here))).map((name) => basename(name, '.ts')));
  let [atOnce, inAll] = [0, 0];
  for (const name of Object.keys(metafile.outputs)) {
    const size = gzipSync(readFileSync(resolve(fileURLToPath(here), name)), { level: 9 }).length;
    if (first.has(name)) atOnce += size;
    if (!languages.has(basename(name).split('-')[0])) inAll += size;
    console.log(`${String(size).padStart(7)}  ${name}${first.has(name) ? '' : '  (on demand)'}`);
  }
  console.log(`${String(atOnce).padStart(7)}  loaded at once, of at most ${MOST_BYTES} bytes gzip -9`);
  console.log(`${String(inAll).padStart(7)}  in all without languages, of at most ${MOST_IN_ALL}`);
  if (atOnce > MOST_BYTES || inAll > MOST_IN_ALL) process.exitCode = 1;
}
