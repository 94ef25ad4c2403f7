// The program that runs inside a cluster's namespaces: brings the cluster up, then runs the command, or stays. It
// never cleans up: when it ends, the kernel ends everything inside. Started by sandbox.ts only:
// `inside.ts <name> <nodes> [command…]`.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { bringUp } from './bring-up.ts';
import { requirePart } from '../setup/parts.ts';
import { tryCommand } from './command.ts';
import { clusterEnvironment } from './environment.ts';
import { describeCluster } from './layout.ts';
import type { ClusterLayout } from './layout.ts';

/** Bringing up failed; a command's own exit codes are passed on as they are. */
const exitNotReady = 70;

async function main(): Promise<number> {
  const [name = '', nodes = '1', ...command] = process.argv.slice(2);
  const layout = describeCluster(name, Number(nodes));
  const started = performance.now();
  const say = (line: string): void => {
    process.stderr.write(`cluster: ${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}\n`);
  };
  if (command.length > 0) endWithRunner();
  try {
    await bringUp(layout, say);
  } catch (error) {
    process.stderr.write(
      `cluster: could not be brought up: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    return exitNotReady;
  }
  if (command.length === 0) return await stayForever();
  const code = await runInside(layout, command);
  if (code !== 0) await writeObjects(layout);
  return code;
}

/** The run holds the other end of this pipe; it closes however the run ends. */
function endWithRunner(): void {
  const pipe = new Socket({ fd: 3, readable: true, writable: false });
  pipe.on('error', () => process.exit(exitNotReady));
  pipe.on('close', () => process.exit(exitNotReady));
  pipe.resume();
  pipe.unref();
}

async function runInside(layout: ClusterLayout, command: readonly string[]): Promise<number> {
  // Ctrl-C reaches the command too, which decides; this process has to outlive it to see its exit code.
  process.on('SIGINT', () => undefined);
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: 'inherit', env: clusterEnvironment(layout) });
  return await new Promise((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`cluster: could not start ${program}: ${error.message}\n`);
      resolve(127);
    });
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 130)));
  });
}

/** What the API server knew when the command failed, kept with the logs. */
async function writeObjects(layout: ClusterLayout): Promise<void> {
  const kubectl = [requirePart('kubectl'), '--kubeconfig', layout.kubeconfig, '--request-timeout=5s'];
  const all = 'pods,statefulsets,deployments,services,endpointslices,configmaps,hpa,pdb,leases';
  const questions = [
    ['get', all, '-A', '-o', 'wide'],
    ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
    ['describe', 'pods', '-A'],
  ];
  const answers = await Promise.all(questions.map(async (words) => await tryCommand([...kubectl, ...words])));
  const text = answers.map(({ stdout, stderr }, index) => `# ${questions[index]?.join(' ')}\n${stdout}${stderr}`);
  writeFileSync(join(layout.logFolder, 'objects.txt'), text.join('\n'));
}

async function stayForever(): Promise<number> {
  // A timer keeps the event loop alive; SIGKILL of the first process is how this ends.
  return await new Promise(() => setInterval(() => undefined, 1 << 30));
}

process.exit(await main());
