// `npm run setup`: gets every part that a machine needs for the e2e tests and for nothing else. Idempotent; with
// everything there it only looks (well under 2 s). Packages first (seconds), then jars and the Go programs (minutes, cold).

import { parseArgs } from 'node:util';
import { buildPart } from './build.ts';
import { dropOldVersions } from './cache.ts';
import { installPackages } from './debian.ts';
import { copyJars } from './maven.ts';
import { findPart, groupOf, groups, hasPart, parts } from './parts.ts';
import type { Part } from './parts.ts';
import { cacheFolder } from './settings.ts';

const usage = `Gets every part that the e2e tests need, once, into a cache outside the repository.

  npm run setup [-- options]

  --only a,b   only these groups: ${groups.join(', ')}
  --list       only list the parts, what each is for, and where it is
  --json       print the parts and their paths as JSON at the end
  --help       this text

Cache: PUSHCLUSTER_CACHE, else $XDG_CACHE_HOME/pushcluster, else ~/.cache/pushcluster.
Cold it takes about 14 minutes on 2 cores and 13 GB for Go's own caches (\`go clean -cache -modcache\` frees them; the
programs are 800 MB). Needs Go 1.26.7 or newer, and root where packages are missing.`;

interface Options {
  readonly only: readonly string[];
  readonly isListing: boolean;
  readonly isJson: boolean;
}

/** With --json the answer alone goes to standard output. */
function say(options: Options, line: string): void {
  (options.isJson ? process.stderr : process.stdout).write(`${line}\n`);
}

function parseOptions(): Options | 'help' {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const only = values.only === undefined ? groups : values.only.split(',').map((group) => group.trim());
  const unknown = only.filter((group) => !groups.includes(group));
  if (unknown.length > 0) throw new Error(`no such group: ${unknown.join(', ')}; there are ${groups.join(', ')}`);
  return { only, isListing: values.list, isJson: values.json };
}

async function getPackages(missing: readonly Part[], options: Options): Promise<void> {
  const names = new Set(missing.flatMap((part) => (part.source.kind === 'debian' ? [part.source.package] : [])));
  if (names.size === 0) return;
  say(options, `packages: ${[...names].join(' ')} …`);
  const before = Date.now();
  await installPackages([...names]);
  say(options, `packages: installed in ${seconds(before)}`);
}

async function getPrograms(missing: readonly Part[], options: Options): Promise<void> {
  const toBuild = missing.filter((part) => part.source.kind !== 'debian');
  for (const [index, part] of toBuild.entries()) {
    const { source } = part;
    if (source.kind === 'debian') continue;
    const label = `[${index + 1}/${toBuild.length}] ${part.name}`;
    say(options, `${label} … about ${part.seconds} s when nothing is cached`);
    const before = Date.now();
    if (source.kind === 'go') await buildPart(part, source);
    else await copyJars(part, source);
    say(options, `${label} made in ${seconds(before)}`);
    const isGroupDone = parts.filter((other) => groupOf(other) === groupOf(part)).every(({ name }) => hasPart(name));
    if (isGroupDone) dropOldVersions(source);
  }
}

function seconds(sinceMs: number): string {
  return `${((Date.now() - sinceMs) / 1000).toFixed(1)} s`;
}

function printParts(wanted: readonly Part[], isJson: boolean): void {
  if (isJson) {
    const rows = wanted.map((part) => ({ name: part.name, group: groupOf(part), path: findPart(part.name) ?? null }));
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
    return;
  }
  for (const part of wanted) {
    process.stdout.write(`${part.name.padEnd(26)}${part.for}\n${' '.repeat(26)}${findPart(part.name) ?? 'missing'}\n`);
  }
}

async function main(): Promise<number> {
  const options = parseOptions();
  if (options === 'help') {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const before = Date.now();
  const wanted = parts.filter((part) => options.only.includes(groupOf(part)));
  if (options.isListing) {
    printParts(wanted, options.isJson);
    return 0;
  }
  const missing = wanted.filter((part) => !hasPart(part.name));
  await getPackages(missing, options);
  await getPrograms(missing, options);
  const still = wanted.filter((part) => !hasPart(part.name)).map((part) => part.name);
  if (still.length > 0) throw new Error(`still missing after the setup: ${still.join(', ')}`);
  const got = missing.length === 0 ? 'all there already' : `${missing.length} got now`;
  say(options, `setup: ${wanted.length} parts, ${got}, ${seconds(before)}; cache ${cacheFolder()}`);
  if (options.isJson) printParts(wanted, true);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`setup: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
