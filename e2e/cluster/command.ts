// Runs one short command to its end, with a bound on time and output. For daemons see daemon.ts.

import { spawn } from 'node:child_process';
import { childEnvironment } from '../setup/settings.ts';

/** What a command did. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Written to the command's standard input, which is then closed; without it the input is empty. */
  readonly stdin?: string;
  /** The command is killed after this; 60 s by default. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** A command that failed: its words and the end of what it said. */
export class CommandFailed extends Error {
  readonly code = 'COMMAND_FAILED';
  readonly result: CommandResult;

  constructor(words: readonly string[], result: CommandResult) {
    const said = (result.stderr.trim() || result.stdout.trim()).slice(-4_000);
    super(`${words.join(' ').slice(0, 300)}: exit ${result.code}: ${said}`);
    this.name = 'CommandFailed';
    this.result = result;
  }
}

/** Runs a command and tells how it ended, whatever its exit code. Rejects only when it cannot be started. */
export async function tryCommand(words: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program = '', ...args] = words;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: childEnvironment(options.environment ?? {}),
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A command that never reads its input closes the pipe early; its exit code says what matters.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin ?? '');
  return await new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(`could not start ${program}`, { cause })));
    child.once('close', (code, signal) => {
      const note = signal === null ? '' : `\nkilled by ${signal} (limit ${options.timeoutMs ?? 60_000} ms)`;
      resolve({
        code: code ?? 128,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString() + note,
      });
    });
  });
}

/** Runs a command and returns its standard output. Throws {@link CommandFailed} on any other exit code than 0. */
export async function runCommand(words: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await tryCommand(words, options);
  if (result.code !== 0) throw new CommandFailed(words, result);
  return result.stdout;
}
