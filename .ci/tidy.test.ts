// The tidy test: what keeps the tree readable and its papers true. Each test states one rule and names every place that breaks it.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { renderSettingsPage } from './settings-page.ts';

const TOP = ['operator', 'workloads', 'crds', 'charts', 'e2e', '.ci'];
const sources = globSync(`{${TOP.join(',')}}/**/*.ts`, { exclude: ['**/node_modules/**', 'dist/**'] }).sort();
const read = (path: string): string => readFileSync(path, 'utf8');
const ROLES = ['registry', 'gateway', 'router', 'drainer', 'upstream', 'console'];

/** Relative imports of a file, as paths from the root. */
function importsOf(path: string): string[] {
  const found = read(path).matchAll(/(?:from|import)\s*\(?['"](\.{1,2}\/[^'"]+)['"]/g);
  return [...found].map((match) => normalize(join(dirname(path), match[1] ?? '')));
}

test('no role imports another role', () => {
  const wrong = sources.flatMap((path) => {
    const role = ROLES.find((name) => path.startsWith(`workloads/${name}/`));
    if (role === undefined) return [];
    return importsOf(path)
      .filter((target) => ROLES.some((other) => other !== role && target.startsWith(`workloads/${other}/`)))
      .map((target) => `${path} → ${target}`);
  });
  assert.deepEqual(wrong, []);
});

test('the operator imports nothing of roles, store, bus or links: only settings, protocol and runtime', () => {
  const wrong = sources
    .filter((path) => path.startsWith('operator/') && !path.endsWith('.test.ts'))
    .flatMap((path) =>
      importsOf(path)
        .filter(
          (target) => target.startsWith('workloads/') && !/^workloads\/(settings|protocol|runtime)\//.test(target),
        )
        .map((target) => `${path} → ${target}`),
    );
  assert.deepEqual(wrong, []);
});

test('the protocol is pure: it imports nothing of node and nothing outside its folder', () => {
  const wrong = sources
    .filter((path) => path.startsWith('workloads/protocol/') && !path.endsWith('.test.ts'))
    .filter(
      (path) =>
        /from 'node:/.test(read(path)) || importsOf(path).some((target) => !target.startsWith('workloads/protocol/')),
    );
  assert.deepEqual(wrong, []);
});

test('gateways never import the Kubernetes client', () => {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path) || !existsSync(path)) return;
    seen.add(path);
    importsOf(path).forEach(visit);
  };
  visit('workloads/gateway/main.ts');
  const wrong = [...seen].filter((path) => read(path).includes('@kubernetes/client-node'));
  assert.deepEqual(wrong, []);
});

test('names say what is inside: no catch-all files, no barrels, kebab-case', () => {
  const forbidden = /^(utils?|helpers?|common-utils|misc|manager|base|index)\.(test\.)?ts$/;
  const wrong = sources.filter((path) => forbidden.test(basename(path)) || !/^[a-z0-9.-]+$/.test(basename(path)));
  assert.deepEqual(wrong, []);
});

test('the environment is read in settings and mains only', () => {
  const allowed =
    /^(\.ci\/|e2e\/.*(settings|main|inside|run|fleet|publisher|processes|router-process)\.ts$|.*\/main\.ts$|.*\.test\.ts$|.*\.e2e\.ts$|.*settings\.ts$)/;
  const wrong = sources.filter((path) => /process\.env\b/.test(read(path)) && !allowed.test(path));
  assert.deepEqual(wrong, []);
});

test('files start with a comment that says what they decide', () => {
  const wrong = sources.filter((path) => !path.endsWith('.test.ts') && !/^(#!.*\n)?(\/\/|\/\*)/.test(read(path)));
  assert.deepEqual(wrong, []);
});

test('files stay readable: at most 350 lines', () => {
  const wrong = sources.filter(
    (path) =>
      !/\.(test|e2e)\.ts$/.test(path) &&
      !/^(contract|fixtures)/.test(basename(path)) &&
      read(path).split('\n').length > 351,
  );
  assert.deepEqual(wrong, []);
});

/** Written in halves, so that this file does not find itself. */
const UNFINISHED = [
  ['TO', 'DO'],
  ['FIX', 'ME'],
  ['XX', 'X\\b'],
  ['@ts-', 'ignore'],
  ['as ', 'any[;,)>]'],
].map((halves) => halves.join(''));

test('nothing unfinished is marked in the sources', () => {
  const marks = new RegExp(UNFINISHED.join('|'));
  const wrong = sources.filter((path) => marks.test(read(path)));
  assert.deepEqual(wrong, []);
});

test("the README's code map names every folder that holds sources, and no other", () => {
  const readme = read('README.md');
  const mapped = new Set(
    [...readme.matchAll(/^\| `((?:operator|workloads|crds|charts|e2e)[^`]*)\/` \|/gm)].map((match) => match[1] ?? ''),
  );
  const folders = ['operator', 'crds', 'charts/pushcluster', ...folderNames('workloads'), ...folderNames('e2e')];
  assert.deepEqual(
    folders.filter((folder) => !mapped.has(folder)),
    [],
    'folders missing from the code map',
  );
  assert.deepEqual(
    [...mapped].filter((folder) => !existsSync(folder)),
    [],
    'folders in the code map that do not exist',
  );
});

function folderNames(top: string): string[] {
  return readdirSync(top, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${top}/${entry.name}`);
}

test('files that the README and the architecture page name are there', () => {
  const paths = globSync(`{${TOP.join(',')}}/**/*`, { exclude: ['**/node_modules/**', 'dist/**'] });
  const wrong = ['README.md', 'operator/ARCHITECTURE.md'].flatMap((page) =>
    [...read(page).matchAll(/`([\w./-]+\.(?:ts|yaml))`/g)]
      .map((match) => match[1] ?? '')
      .filter((name) => !paths.some((path) => `/${path}`.endsWith(`/${name}`)))
      .map((name) => `${page}: ${name}`),
  );
  assert.deepEqual(wrong, []);
});

test('links of pages to other files lead somewhere', () => {
  const wrong = globSync('{.,operator,workloads/*,e2e/*}/*.md').flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] ?? '')
      .filter((target) => !existsSync(join(dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  );
  assert.deepEqual(wrong, []);
});

test('every dependency is pinned exactly and has its reason in the README', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const readme = read('README.md');
  const all = { ...manifest['dependencies'], ...manifest['devDependencies'], ...manifest['optionalDependencies'] };
  const wrong = Object.entries(all).filter(
    ([name, version]) => !/^\d+\.\d+\.\d+$/.test(version) || !readme.includes(`\`${name}\``),
  );
  assert.deepEqual(wrong, []);
});

test('the lock file names no host of a registry', () => {
  assert.equal(/"resolved"/.test(read('package-lock.json')), false);
});

test('the page of settings is the one that the code renders', () => {
  assert.equal(
    read('workloads/settings/README.md'),
    renderSettingsPage(),
    'run `node .ci/settings-page.ts` to write it again',
  );
});
