// Installs Debian packages without letting any of them start a service: the tests run their own Redis and
// Prometheus and need the ports. Called by main.ts, once for all missing packages.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { runTool } from './run-tool.ts';
import { childEnvironment } from './settings.ts';

/** Debian asks this script before a package may start a service; exit code 101 means "no". */
const policyFile = '/usr/sbin/policy-rc.d';

/**
 * Installs packages. Works on machines with or without systemd, since Debian's own hook is what forbids the
 * start. Throws when the machine has no apt or the user is not root, with the packages to install by hand.
 */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const byHand = `install these by hand: ${packages.join(' ')}`;
  if (!existsSync('/usr/bin/apt-get')) throw new Error(`this machine has no apt-get; ${byHand}`);
  if (process.getuid?.() !== 0) throw new Error(`apt-get needs root; run as root, or ${byHand}`);
  const isOurPolicy = !existsSync(policyFile);
  if (isOurPolicy) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await apt(['update', '-qq']);
    await apt(['install', '-y', '-qq', '--no-install-recommends', ...packages]);
  } finally {
    if (isOurPolicy) rmSync(policyFile, { force: true });
  }
}

async function apt(args: readonly string[]): Promise<void> {
  const { code, output } = await runTool('apt-get', args, {
    env: childEnvironment({ DEBIAN_FRONTEND: 'noninteractive' }),
    missing: 'could not start apt-get',
  });
  if (code !== 0) throw new Error(`apt-get ${args[0]} failed (exit ${code}):\n${output.slice(-8_192).trimEnd()}`);
}
