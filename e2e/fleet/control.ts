// How a test process is told what to do and answers: JSON lines on its standard input and output. `{id, do, …}` is answered by
// `{id, ok}` or `{id, error}`; `{event}` comes by itself. When the input ends (whoever started it is gone) the process stops.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export type Command = Readonly<Record<string, unknown>> & { readonly do: string };
export type Handler = (command: Command) => unknown;

/** Inside the process: answers commands until `stop` or the end of the input, then calls `stop` and ends. */
export async function serveCommands(handle: Handler, stop: () => Promise<unknown>): Promise<void> {
  say({ event: 'ready' });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as Command & { id: number };
    if (command.do === 'stop') {
      say({ id: command.id, ok: (await stop()) ?? null });
      process.exit(0);
    }
    void answer(command, handle);
  }
  await stop();
  process.exit(0);
}

/** One that takes long does not hold up the next. */
async function answer(command: Command & { id: number }, handle: Handler): Promise<void> {
  try {
    say({ id: command.id, ok: (await handle(command)) ?? null });
  } catch (error) {
    say({ id: command.id, error: error instanceof Error ? error.message : String(error) });
  }
}

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

export interface ControlledProcess {
  readonly pid: number;
  /** Rejects with what the process said when it failed, or when it is gone. */
  ask(command: Command): Promise<unknown>;
  /** Asks it to stop and waits until it is gone; answers its last word. */
  stop(): Promise<unknown>;
  /** As a crash. */
  kill(): Promise<void>;
}

/** Outside: starts `node <script> <config as JSON>`; resolves when it is ready. Its standard error goes to ours. */
export async function spawnControlled(script: string, config: unknown): Promise<ControlledProcess> {
  const args = ['--disable-warning=ExperimentalWarning', script, JSON.stringify(config)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const ready = Promise.withResolvers<void>();
  let lastId = 0;
  const gone = once(child, 'exit').then(([code, signal]) => {
    const error = new Error(`${script} ended with ${String(signal ?? code)}`);
    ready.reject(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  child.stdin.on('error', () => {}); // `gone` tells it
  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = JSON.parse(line) as { event?: string; id?: number; ok?: unknown; error?: string };
    if (answer.event === 'ready') return ready.resolve();
    const waiter = waiting.get(answer.id ?? -1);
    waiting.delete(answer.id ?? -1);
    if (answer.error === undefined) waiter?.resolve(answer.ok);
    else waiter?.reject(new Error(answer.error));
  });
  const ask = (command: Command): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (child.exitCode !== null || child.signalCode !== null) return reject(new Error(`${script} is gone`));
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ ...command, id })}\n`);
    });
  await ready.promise;
  return {
    pid: child.pid!,
    ask,
    async stop() {
      const last = await ask({ do: 'stop' });
      await gone;
      return last;
    },
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
