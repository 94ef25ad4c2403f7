// `npm test`: typecheck, type-aware lint, format, then every *.test.ts of the tree (unit, contract suites, embedded end-to-end).
// What needs a part that is not on this machine is skipped by name. `npm test -- <text>` runs the files whose path has the text.
import { globSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { report, runSuite } from './suite.ts';
import type { Totals } from './suite.ts';

const CHECKS: readonly { name: string; command: string; args: readonly string[] }[] = [
  { name: 'typecheck', command: 'tsc', args: ['--noEmit'] },
  { name: 'lint', command: 'oxlint', args: ['--type-aware', '--deny-warnings', '--quiet', '.'] },
  { name: 'format', command: 'oxfmt', args: ['--check', '.'] },
];

function runChecks(): Totals {
  let passed = 0;
  let failed = 0;
  for (const check of CHECKS) {
    const startedAt = performance.now();
    const done = spawnSync(check.command, check.args, { encoding: 'utf8' });
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    if (done.status === 0) passed++;
    else failed++;
    console.log(`${done.status === 0 ? 'ok' : 'FAILED'}: ${check.name} (${seconds} s)`);
    if (done.status !== 0) console.log(`${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}`);
  }
  return { passed, failed, skipped: 0 };
}

const wanted = process.argv.slice(2);
if (wanted.includes('--help')) {
  console.log(
    'npm test [-- <part of a path> …]: typecheck, lint, format and tests; with arguments only the tests of matching files',
  );
  process.exit(0);
}
const files = globSync(['{operator,workloads,crds,charts,e2e,.ci}/**/*.test.ts'], { exclude: ['**/node_modules/**'] })
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
const checks = wanted.length === 0 ? runChecks() : { passed: 0, failed: 0, skipped: 0 };
const tests = await runSuite({
  files,
  concurrency: availableParallelism(),
  timeoutMs: 120_000,
  verbose: wanted.length > 0,
});
report({ passed: checks.passed + tests.passed, failed: checks.failed + tests.failed, skipped: tests.skipped });
process.exitCode = checks.failed + tests.failed > 0 || tests.passed === 0 ? 1 : 0;
