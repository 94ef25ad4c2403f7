// Starts real Redis processes for the tests here: single, with or without persistence, a Cluster of three, a Sentinel. Ports are
// free ones on 127.0.0.1, data in a temporary folder; every process is killed by its pid, and dies with the test at the latest.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '../../runtime/free-port.ts';

/** Why tests with a real Redis are skipped; null: they can run. */
export function redisMissing(): string | null {
  const found = spawnSync('redis-server', ['--version']).status === 0;
  return found ? null : 'redis-server is not installed; get it with: npm run setup';
}

/** One redis-server that can be killed and started again on its data. */
export class TestRedis {
  readonly port: number;
  readonly dir: string;
  readonly #args: readonly string[];
  #child: ChildProcess | null = null;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.dir = mkdtempSync(join(tmpdir(), 'pushcluster-redis-'));
    this.#args = args;
    process.once('exit', this.#killNow);
  }
  readonly #killNow = (): void => {
    this.#child?.kill('SIGKILL');
  };

  static async start(args: readonly string[] = [], port?: number): Promise<TestRedis> {
    const redis = new TestRedis(port ?? (await freePort()), args);
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const own = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.dir, '--save', '', '--logfile', 'log'];
    this.#child = spawn('redis-server', [...own, ...this.#args], { stdio: 'ignore' });
    const client = new Redis({
      host: '127.0.0.1',
      port: this.port,
      retryStrategy: () => 20,
      maxRetriesPerRequest: 500,
      lazyConnect: true,
    });
    client.on('error', () => undefined);
    await client.ping().catch((error: unknown) => {
      if (!String(error).includes('NOAUTH')) throw error;
    });
    client.disconnect();
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** Runs one command on a connection of its own. */
  async command(name: string, ...args: string[]): Promise<unknown> {
    const client = new Redis({ host: '127.0.0.1', port: this.port, lazyConnect: true });
    try {
      return await client.call(name, ...args);
    } finally {
      client.disconnect();
    }
  }

  async remove(): Promise<void> {
    await this.kill();
    process.removeListener('exit', this.#killNow);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'] as const;
export const VOLATILE = ['--appendonly', 'no'] as const;

/** Waits (bounded) until a node serves its slots. */
async function untilCluster(master: TestRedis): Promise<void> {
  for (let i = 0; !String(await master.command('CLUSTER', 'INFO')).includes('cluster_state:ok'); i++) {
    if (i > 500) throw new Error('the cluster did not come up');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A Cluster of three masters. */
export async function startCluster(): Promise<{ url: string; masters: readonly TestRedis[]; remove(): Promise<void> }> {
  const masters: TestRedis[] = [];
  for (let i = 0; i < 3; i++) {
    const bus = `${await freePort()}`;
    masters.push(
      await TestRedis.start([
        ...VOLATILE,
        '--cluster-enabled',
        'yes',
        '--cluster-node-timeout',
        '2000',
        '--cluster-port',
        bus,
      ]),
    );
  }
  const addresses = masters.map(({ port }) => `127.0.0.1:${port}`);
  const created = spawnSync('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (created.status !== 0) throw new Error(`redis-cli --cluster create: ${created.stdout}${created.stderr}`);
  for (const master of masters) await untilCluster(master);
  return {
    url: `redis+cluster://${addresses.join(',')}`,
    masters,
    remove: async () => {
      await Promise.all(masters.map((redis) => redis.remove()));
    },
  };
}

/** A Sentinel that watches one master under the name `main`. */
export async function startSentinel(
  master: TestRedis,
): Promise<{ url: string; port: number; remove(): Promise<void> }> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-sentinel-'));
  const config = join(dir, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${dir}`,
    `sentinel monitor main 127.0.0.1 ${master.port} 1`,
    'sentinel down-after-milliseconds main 500',
    'sentinel failover-timeout main 3000',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  const child = spawn('redis-server', [config, '--sentinel'], { stdio: 'ignore' });
  const killNow = (): void => void child.kill('SIGKILL');
  process.once('exit', killNow);
  return {
    url: `redis+sentinel://127.0.0.1:${port}/main`,
    port,
    remove: async () => {
      const gone = new Promise((resolve) => child.once('close', resolve));
      killNow();
      await gone;
      process.removeListener('exit', killNow);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
