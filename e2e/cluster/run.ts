// `node e2e/cluster/run.ts [--nodes N] -- command…`: runs a command against a Kubernetes cluster and ends with its
// exit code. With KUBECONFIG set that cluster is used; otherwise one is made for this run, in namespaces of its
// own, and removed afterwards. Several runs at once do not disturb each other. e2e's npm script starts here.

import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { givenKubeconfig } from '../setup/settings.ts';
import { describeCluster } from './layout.ts';
import { closeSandbox, keepLogs, openSandbox, sweepSandboxes, whyNoCluster } from './sandbox.ts';

const usage = `Runs a command against a Kubernetes cluster.

  node e2e/cluster/run.ts [--nodes N] -- <command> [words…]

With KUBECONFIG set, that cluster is used. Otherwise a cluster is made for the command, which runs in its network
namespace (pods, Services and NodePorts are reachable, nothing else is), with KUBECONFIG set.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { nodes: { type: 'string', default: '1' }, help: { type: 'boolean', short: 'h', default: false } },
    allowPositionals: true,
  });
  if (values.help || positionals.length === 0) {
    process.stdout.write(`${usage}\n`);
    return values.help ? 0 : 2;
  }
  if (givenKubeconfig() !== undefined) return await runDirectly(positionals);
  const obstacle = whyNoCluster();
  if (obstacle !== undefined) throw new Error(obstacle);
  for (const name of await sweepSandboxes()) process.stderr.write(`cluster: removed what was left of ${name}\n`);
  return await runInCluster(positionals, Number(values.nodes));
}

async function runInCluster(command: readonly string[], nodes: number): Promise<number> {
  const layout = describeCluster(`run-${process.pid}`, nodes);
  const holder = openSandbox(layout, { command });
  let interrupts = 0;
  // The terminal sends Ctrl-C to the command as well; a second one means "now".
  process.on('SIGINT', () => {
    interrupts += 1;
    if (interrupts > 1) holder.kill('SIGKILL');
  });
  process.on('SIGTERM', () => holder.kill('SIGKILL'));
  const code = await new Promise<number>((resolve, reject) => {
    holder.once('error', reject);
    holder.once('exit', (exit) => resolve(exit ?? 130));
  });
  if (code !== 0) process.stderr.write(`cluster: exit code ${code}; logs kept in ${keepLogs(layout)}\n`);
  const before = performance.now();
  await closeSandbox(layout);
  process.stderr.write(`cluster: removed in ${((performance.now() - before) / 1000).toFixed(1)} s\n`);
  return code;
}

async function runDirectly(command: readonly string[]): Promise<number> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: 'inherit' });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 130));
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`cluster: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
