// A developer's own cluster: `node e2e/cluster/main.ts up|down|status|exec`. It stays until `down`, beside the
// clusters that runs make for themselves. `exec -- command` runs anything inside its namespaces: tests, kubectl, a
// shell.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clusterEnvironment } from './environment.ts';
import { describeCluster } from './layout.ts';
import type { ClusterLayout } from './layout.ts';
import { isMarkAlive, readOwner } from './owner.ts';
import { closeSandbox, isSandboxAlive, keepLogs, openSandbox, sweepSandboxes, whyNoCluster } from './sandbox.ts';
import { waitFor } from './wait.ts';

const usage = `A Kubernetes cluster for development, in namespaces of its own.

  node e2e/cluster/main.ts up [--nodes N]        start it; returns when its nodes are Ready
  node e2e/cluster/main.ts exec -- <command>     run a command inside: kubectl, a test, a shell
  node e2e/cluster/main.ts status                whether it runs, its nodes, its folders
  node e2e/cluster/main.ts down                  stop it and remove everything

  --name NAME   another cluster than "dev"`;

interface Request {
  readonly verb: string;
  readonly name: string;
  readonly nodes: number;
  readonly command: readonly string[];
}

function parseRequest(): Request {
  const { values, positionals } = parseArgs({
    options: {
      name: { type: 'string', default: 'dev' },
      nodes: { type: 'string', default: '1' },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  const [verb = 'help', ...command] = positionals;
  return { verb: values.help ? 'help' : verb, name: values.name, nodes: Number(values.nodes), command };
}

async function up(request: Request): Promise<number> {
  const obstacle = whyNoCluster();
  if (obstacle !== undefined) throw new Error(obstacle);
  const layout = describeCluster(request.name, request.nodes);
  if (isSandboxAlive(layout.name)) {
    process.stdout.write(`cluster ${layout.name} runs already\n`);
    return 0;
  }
  await sweepSandboxes();
  const holder = openSandbox(layout, {});
  let hasEnded = false;
  holder.once('exit', () => (hasEnded = true));
  holder.unref();
  await follow(layout, () => hasEnded || existsSync(layout.descriptionFile));
  if (existsSync(layout.descriptionFile)) {
    process.stdout.write(`inside: node e2e/cluster/main.ts exec -- kubectl get nodes\n`);
    return 0;
  }
  const logs = keepLogs(layout);
  await closeSandbox(layout);
  throw new Error(`cluster ${layout.name} did not come up; logs kept in ${logs}`);
}

/** Shows what the cluster says while it comes up. */
async function follow(layout: ClusterLayout, isOver: () => boolean): Promise<void> {
  const file = join(layout.logFolder, 'up.log');
  let shown = 0;
  const show = (): void => {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    process.stderr.write(text.slice(shown));
    shown = text.length;
  };
  const look = (): boolean => {
    const over = isOver();
    show();
    return over;
  };
  await waitFor(`cluster ${layout.name} to come up`, look, { timeoutMs: 300_000 });
}

async function exec(request: Request): Promise<number> {
  const owner = readOwner(describeCluster(request.name, 1).ownerFile);
  if (owner?.holder === undefined || !isMarkAlive(owner.holder)) {
    throw new Error(`cluster ${request.name} does not run: node e2e/cluster/main.ts up`);
  }
  const layout = describeCluster(request.name, owner.nodes);
  const { pid } = owner.holder;
  // The holder is outside the process namespace that it made; its children are inside.
  const namespaces = ['-t', `${pid}`, '-n', '-m', `--pid=/proc/${pid}/ns/pid_for_children`];
  // Entering the mounts moves to their root; the shell goes back to where the developer is.
  const words = [...namespaces, 'sh', '-c', 'cd "$0" && exec "$@"', process.cwd(), ...request.command];
  const child = spawn('nsenter', words, { stdio: 'inherit', env: clusterEnvironment(layout) });
  process.on('SIGINT', () => undefined);
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 130));
  });
}

function status(request: Request): number {
  const owner = readOwner(describeCluster(request.name, 1).ownerFile);
  const isAlive = isSandboxAlive(request.name);
  const layout = describeCluster(request.name, owner?.nodes ?? 1);
  const isReady = isAlive && existsSync(layout.descriptionFile);
  process.stdout.write(`cluster ${request.name}: ${isReady ? 'ready' : isAlive ? 'coming up' : 'not running'}\n`);
  if (!isAlive) return 1;
  process.stdout.write(`nodes   ${layout.nodes.map(({ name, ip }) => `${name} ${ip}`).join(', ')}\n`);
  process.stdout.write(`logs    ${layout.logFolder}\nconfig  ${layout.kubeconfig} (valid inside only)\n`);
  return 0;
}

async function down(request: Request): Promise<number> {
  const before = performance.now();
  await closeSandbox(describeCluster(request.name, 1));
  process.stdout.write(`cluster ${request.name} removed in ${((performance.now() - before) / 1000).toFixed(1)} s\n`);
  return 0;
}

async function main(): Promise<number> {
  const request = parseRequest();
  switch (request.verb) {
    case 'up':
      return await up(request);
    case 'exec':
      return await exec(request);
    case 'status':
      return status(request);
    case 'down':
      return await down(request);
    default:
      process.stdout.write(`${usage}\n`);
      return request.verb === 'help' ? 0 : 2;
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`cluster: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
