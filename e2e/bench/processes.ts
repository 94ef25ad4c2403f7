// Starts the processes of a bench and ends them by their pid: compiled roles, Redis, the load generator. What they say on standard error and,
// for roles, warnings of their logs, is kept for the message when one ends by itself.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
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
  child.once('error', (error) => ready.reject(error));
  child.once('exit', (code, signal) => {
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
      async stop() {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGTERM');
        const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
        await gone;
        clearTimeout(late);
      },
    },
  };
}
