// A long-running program of the cluster: its log file, its recorded pid, and the wait for it to be ready, which
// fails at once with the end of its log when the program dies. Called by everything that starts a component.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { childEnvironment } from '../setup/settings.ts';
import type { ClusterLayout } from './layout.ts';
import { waitFor } from './wait.ts';

/** A started program. `ended` is set once it has exited. */
export interface Daemon {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  ended: string | undefined;
}

export interface DaemonOptions {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Folders put before PATH: containerd finds its shim and kube-proxy finds nft there. */
  readonly pathFolders?: readonly string[];
}

/** Lines of a component's log that an error shows. */
const shownLogLines = 15;

/**
 * Starts a program in a session of its own, so that Ctrl-C in the developer's terminal reaches the tests and not
 * the cluster beneath them. Its pid is recorded under pids/, for tests that kill it.
 */
export function startDaemon(layout: Pick<ClusterLayout, 'logFolder' | 'pidFolder'>, options: DaemonOptions): Daemon {
  mkdirSync(layout.logFolder, { recursive: true });
  mkdirSync(layout.pidFolder, { recursive: true });
  const logFile = join(layout.logFolder, `${options.name}.log`);
  const log = openSync(logFile, 'a');
  const path = [...(options.pathFolders ?? []), '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
  const child = spawn(options.program, options.args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: childEnvironment({ PATH: path.join(':'), KUBECONFIG: undefined }),
  });
  closeSync(log);
  if (child.pid === undefined) throw new Error(`could not start ${options.name} from ${options.program}`);
  const daemon: Daemon = { name: options.name, pid: child.pid, logFile, ended: undefined };
  child.once('exit', (code, signal) => {
    daemon.ended = signal === null ? `exit code ${code}` : `signal ${signal}`;
  });
  // The namespace ends all daemons at once; none of them has to keep this process alive.
  child.unref();
  writeFileSync(pidFile(layout, options.name), String(child.pid));
  return daemon;
}

/** Waits until `isReady` says so. Throws, with the end of the log, when the program ends or the time is over. */
export async function awaitDaemon(
  daemon: Daemon,
  isReady: () => Promise<boolean>,
  options: { readonly timeoutMs: number; readonly intervalMs?: number },
): Promise<void> {
  const died = (): Error | undefined =>
    daemon.ended === undefined ? undefined : new Error(`${daemon.name} ended with ${daemon.ended}`);
  try {
    await waitFor(`${daemon.name} to be ready`, isReady, { ...options, giveUp: died });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${reason}\n--- end of ${daemon.logFile}\n${logTail(daemon.logFile)}`, { cause });
  }
}

/** The recorded pid of a component, as seen inside the namespace; undefined when it was never started. */
export function daemonPid(layout: Pick<ClusterLayout, 'pidFolder'>, name: string): number | undefined {
  const file = pidFile(layout, name);
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
}

/** Ends a program and waits until it is gone; SIGKILL after the grace. Does nothing when it has ended already. */
export async function stopDaemon(daemon: Daemon, graceMs = 3_000): Promise<void> {
  const isGone = (): boolean => daemon.ended !== undefined || !isAlive(daemon.pid);
  if (isGone()) return;
  process.kill(daemon.pid, 'SIGTERM');
  try {
    await waitFor(`${daemon.name} to end`, isGone, { timeoutMs: graceMs, intervalMs: 50 });
  } catch {
    process.kill(daemon.pid, 'SIGKILL');
    await waitFor(`${daemon.name} to end`, isGone, { timeoutMs: 3_000, intervalMs: 50 });
  }
}

/** Whether something accepts TCP connections there. */
export async function isListening(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port, timeout: 2_000 });
  return await new Promise((resolve) => {
    const settle = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
    socket.once('timeout', () => settle(false));
  });
}

/** Whether a process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The state letter follows the command's name, which is in parentheses and may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

function pidFile(layout: Pick<ClusterLayout, 'pidFolder'>, name: string): string {
  return join(layout.pidFolder, `${name}.pid`);
}

function logTail(file: string): string {
  if (!existsSync(file)) return '(no log)';
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-shownLogLines).join('\n');
}
