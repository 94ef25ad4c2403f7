// Runs before `npm start`, `npm test`, `npm run e2e` and `npm run bench`, on whatever Node the machine has (20 or newer):
// installs the dependencies when they are missing, among them the pinned Node 24 that the scripts then run on.
'use strict';
const { existsSync, readFileSync } = require('node:fs');
const { spawnSync } = require('node:child_process');
const { join } = require('node:path');

const root = join(__dirname, '..');
const marker = join(root, 'node_modules', '.package-lock.json');

/** Installed means: npm's own record is there and lists every package of ours at the pinned version. */
function isInstalled() {
  if (!existsSync(marker)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const have = JSON.parse(readFileSync(marker, 'utf8')).packages;
  const pinned = Object.entries({ ...wanted.dependencies, ...wanted.devDependencies });
  return pinned.every(([name, version]) => have[`node_modules/${name}`]?.version === version);
}

if (!isInstalled()) {
  console.error('Dependencies are missing or out of date: running npm ci (about 20 s) …');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const done = spawnSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (done.status !== 0) {
    console.error('npm ci failed. Remedy: check that the npm registry is reachable, then run `npm ci` by hand.');
    process.exit(1);
  }
}
