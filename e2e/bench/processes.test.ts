// A bench that is told to end leaves nothing behind: no process, no folder.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

const skip = existsSync('/proc/self/status') ? false : 'it looks at /proc';
/** For one step of a test, on a busy machine. */
const PATIENCE_MS = 20_000;
const MAIN = join(import.meta.dirname, 'main.ts');

function aProcess(t: TestContext, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}
function linesOf(child: ChildProcess): AsyncIterator<string> {
  return createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
}
/** A zombie has ended. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
/** By who each process says is its parent: not every kernel keeps lists of children. */
function childrenOf({ pid }: ChildProcess): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number);
}
/** Null: it is gone. */
function parentOf(pid: string): number | null {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return null;
  }
}
/** The test's own time does not end a loop: it would go on, and the file with it. */
async function until(what: string, isSo: () => boolean): Promise<void> {
  const lastMs = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    assert.ok(performance.now() < lastMs, `expected ${what} within ${PATIENCE_MS} ms`);
    await wait(20);
  }
}

const noRedis = spawnSync('redis-server', ['--version']).status === 0 ? false : 'redis-server is not installed';
test(
  'main.ts that is ended by a signal ends the Redis of its bench',
  { skip: skip || noRedis, timeout: 3 * PATIENCE_MS },
  async (t) => {
    const bench = aProcess(t, MAIN, 'redis');
    const gone = once(bench, 'exit');
    let redis: number | undefined;
    await until('it to start its Redis', () => {
      [redis] = childrenOf(bench);
      return redis !== undefined || bench.exitCode !== null;
    });
    assert.ok(redis !== undefined, `it ended with ${bench.exitCode} and started nothing`);
    const pid = redis;
    t.after(() => isRunning(pid) && process.kill(pid, 'SIGKILL'));
    bench.kill('SIGTERM');
    assert.deepEqual(await gone, [143, null]);
    assert.equal(isRunning(pid), false);
  },
);

for (const how of ['a signal, and again', 'an error'] as const)
  test(
    `a process that ends by ${how} takes along what does not listen to signals, and its folder`,
    { skip, timeout: 3 * PATIENCE_MS },
    async (t) => {
      const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('ready')";
      const bench = aProcess(
        t,
        '--input-type=module',
        '--eval',
        `import { endOnSignals, openFolder, startProcess } from ${JSON.stringify(join(import.meta.dirname, 'processes.ts'))};
      endOnSignals();
      const folder = openFolder();
      const isReady = (line) => line === 'ready';
      const { process: child } = await startProcess(process.execPath, ['--eval', ${JSON.stringify(stubborn)}], { isReady });
      console.log(JSON.stringify({ folder, pid: child.pid }));
      ${how === 'an error' ? "throw new Error('told to fail')" : ''}`,
      );
      const gone = once(bench, 'exit');
      const { value } = await linesOf(bench).next();
      const { folder, pid } = JSON.parse(value as string) as { folder: string; pid: number };
      t.after(() => isRunning(pid) && process.kill(pid, 'SIGKILL'));
      if (how !== 'an error') for (let i = 0; i < 2; i++) bench.kill('SIGTERM');
      assert.deepEqual(await gone, [how === 'an error' ? 1 : 143, null]);
      assert.equal(existsSync(folder), false);
      // Killed as the last thing: it may take a moment.
      await until('what it started to end', () => !isRunning(pid));
    },
  );
