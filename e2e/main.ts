// `npm run e2e [-- <name> …]`: the scenarios on real parts. Emits the JavaScript that the image holds, then runs the scenario files
// one after another inside a real Kubernetes cluster (cluster/run.ts). A missing part or a skipped test is a failure here.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { report, runSuite } from '../.ci/suite.ts';

const root = join(import.meta.dirname, '..');
const usage = `npm run e2e [-- <name> …]

Runs the scenarios of e2e/, and the suites elsewhere that need an API server, on a real cluster, or only those whose file name has one of the names in it.
With KUBECONFIG set that cluster is used; otherwise one is made for the run (npm run setup gets its parts).
  --list   names the scenarios and ends`;

/** Scenario files, the cluster's own first: when that fails the others cannot be trusted. */
function scenarioFiles(names: readonly string[]): readonly string[] {
  const files = globSync('{e2e,operator,workloads,charts}/**/*.e2e.ts', { cwd: root }).sort(
    (a, b) => Number(b.startsWith('e2e/cluster/')) - Number(a.startsWith('e2e/cluster/')) || (a < b ? -1 : 1),
  );
  return files.filter((file) => names.length === 0 || names.some((name) => basename(file).includes(name)));
}

function runOutside(names: readonly string[]): number {
  const built = spawnSync('tsc', ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
  if (built.status !== 0) return 1;
  const files = scenarioFiles(names);
  if (files.length === 0) {
    console.error(`expected a scenario's name, got ${names.join(', ')}; there are ${scenarioFiles([]).join(', ')}`);
    return 2;
  }
  let worst = 0;
  for (const [nodes, group] of Map.groupBy(files, nodesFor)) {
    const command = ['e2e/cluster/run.ts', '--nodes', String(nodes), '--', process.execPath, 'e2e/main.ts', '--inside'];
    const run = spawnSync(process.execPath, [...command, ...group], { cwd: root, stdio: 'inherit' });
    worst = Math.max(worst, run.status ?? 1);
  }
  return worst;
}

/** A cluster is made for each number of nodes that scenarios want. */
function nodesFor(file: string): number {
  return file.endsWith('/nodes.e2e.ts') ? 2 : 1;
}

async function runInside(files: readonly string[]): Promise<number> {
  const totals = await runSuite({ files, concurrency: 1, timeoutMs: 600_000, verbose: true });
  report(totals);
  if (totals.skipped > 0)
    console.error('a skipped scenario counts as a failure here: npm run setup gets what is missing');
  return totals.failed > 0 || totals.skipped > 0 || totals.passed === 0 ? 1 : 0;
}

const args = process.argv.slice(2);
const names = args.filter((arg) => !arg.startsWith('--'));
if (args.includes('--help')) console.log(usage);
else if (args.includes('--list')) console.log(scenarioFiles(names).join('\n'));
else process.exitCode = args.includes('--inside') ? await runInside(names) : runOutside(names);
