// Starts the processes of a bench and ends them by their pid: compiled roles, Redis, the load generator. What they say on standard error and,
// for roles, warnings of their logs, is kept for the message when one ends by itself. A bench that is told to end takes its processes and its
// folders along (main.ts).
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface StartedProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Its last words, for error messages. */
  words(): string;
  stop(): Promise<void>;
}

const WORDS_MAX = 20;
const STOP_MS = 3000;

/** Each until it is gone. */
const running = new Map<ChildProcess, () => Promise<void>>();
const folders = new Set<string>();
process.once('exit', () => {
  for (const child of running.keys()) child.kill('SIGKILL');
  for (const folder of folders) removeFolder(folder);
});

/** A new folder of the bench's own. */
export function openFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pushcluster-bench-'));
  folders.add(folder);
  return folder;
}
export function removeFolder(folder: string): void {
  folders.delete(folder);
  rmSync(folder, { recursive: true, force: true });
}

/**
 * From now on whoever ends this process, a `timeout` for one, ends what it started. Answers what resolves at once, or never where that has
 * begun. Such a signal often comes twice: to its group, and by npm.
 */
export function endOnSignals(): () => Promise<unknown> {
  let ending: Promise<never> | null = null;
  const endBy = async (signal: NodeJS.Signals): Promise<never> => {
    await Promise.all(Array.from(running.values(), (stop) => stop()));
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => void (ending ??= endBy(signal)));
  return () => Promise.resolve(ending);
}

/** Starts it; resolves with the first line of output that `isReady` takes. Rejects with its words when it ends before. */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: { env?: Readonly<Record<string, string>>; isReady: (line: string) => boolean },
): Promise<{ process: StartedProcess; readyLine: string }> {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...options.env },
  });
  const words: string[] = [];
  const ready = Promise.withResolvers<string>();
  const hear = (line: string): void => {
    if (options.isReady(line)) ready.resolve(line);
    words.push(line.slice(0, 500));
    if (words.length > WORDS_MAX) words.shift();
  };
  createInterface({ input: child.stdout }).on('line', hear);
  createInterface({ input: child.stderr }).on('line', hear);
  const gone = once(child, 'exit');
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(late);
  };
  running.set(child, stop);
  child.once('error', (error) => {
    running.delete(child);
    ready.reject(error);
  });
  child.once('exit', (code, signal) => {
    running.delete(child);
    ready.reject(new Error(`${command} ${args[0] ?? ''} ended with ${String(signal ?? code)}:\n${words.join('\n')}`));
  });
  child.stdin.on('error', () => {}); // its exit tells
  const readyLine = await ready.promise;
  return {
    readyLine,
    process: {
      pid: child.pid!,
      child,
      words: () => words.join('\n'),
      stop,
    },
  };
}
