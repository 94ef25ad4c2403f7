// A bench that is told to end leaves nothing behind: no process, no folder.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

const skip = existsSync('/proc/self/status') ? false : 'it looks at /proc';
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
function childrenOf({ pid }: ChildProcess): number[] {
  return readFileSync(`/proc/${pid!}/task/${pid!}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

const noRedis = spawnSync('redis-server', ['--version']).status === 0 ? false : 'redis-server is not installed';
test('main.ts that is ended by a signal ends the Redis of its bench', { skip: skip || noRedis }, async (t) => {
  const bench = aProcess(t, MAIN, 'redis');
  const gone = once(bench, 'exit');
  let [redis] = childrenOf(bench);
  while (redis === undefined && bench.exitCode === null) {
    await new Promise(setImmediate);
    [redis] = childrenOf(bench);
  }
  t.after(() => isRunning(redis!) && process.kill(redis!, 'SIGKILL'));
  bench.kill('SIGTERM');
  assert.deepEqual(await gone, [143, null]);
  assert.equal(isRunning(redis!), false);
});

for (const how of ['a signal, and again', 'an error'] as const)
  test(
    `a process that ends by ${how} takes along what does not listen to signals, and its folder`,
    { skip, timeout: 20_000 },
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
      // Killed as the last thing: it may take a moment. The test's own time bounds it.
      while (isRunning(pid)) await new Promise(setImmediate);
    },
  );
