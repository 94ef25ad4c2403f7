// Runs a build tool of the machine to its end and keeps the end of what it printed, for the message of a run that fails.
import { spawn } from 'node:child_process';

/** The last ones name the fault; what comes before can be many lines of downloads. */
const KEPT_CHARS = 65_536;

export interface ToolRun {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** What the error says when the tool is not there: its name and what to install. */
  readonly missing: string;
}

/** Resolves with the exit code (1 where a signal ended it) and the end of stdout and stderr. Throws when it cannot be started. */
export async function runTool(
  command: string,
  args: readonly string[],
  { env, cwd, missing }: ToolRun,
): Promise<{ code: number; output: string }> {
  const child = spawn(command, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-KEPT_CHARS);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return await new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(missing, { cause })));
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
