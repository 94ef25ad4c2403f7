// Starts real Redis processes for the tests here: single, with or without persistence, a Cluster of three, a Sentinel, each plain or
// with nothing but TLS. Ports are
// free ones on 127.0.0.1, data in a temporary folder; every process is killed by its pid, and dies with the test at the latest.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { freePort } from '../../runtime/free-port.ts';

/** Why tests with a real Redis are skipped; null: they can run. */
export function redisMissing(): string | null {
  const found = spawnSync('redis-server', ['--version']).status === 0;
  return found ? null : 'redis-server is not installed; get it with: npm run setup';
}

/** Files of PEM; `ca` signs everyone's certificates. */
export interface ServerTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Where a server listens, and how servers speak with each other, as its settings have it. */
function listening(port: number, tls: ServerTls | null): readonly (readonly [string, string])[] {
  if (tls === null) return [['port', `${port}`]];
  return [
    ['port', '0'],
    ['tls-port', `${port}`],
    ['tls-ca-cert-file', tls.ca],
    ['tls-cert-file', tls.cert],
    ['tls-key-file', tls.key],
    ['tls-auth-clients', 'no'],
    ['tls-replication', 'yes'],
    ['tls-cluster', 'yes'],
  ];
}

/** How the tests' own connections reach it: under whatever name its certificate has. */
function ownTls(tls: ServerTls | null): Pick<RedisOptions, 'tls'> {
  if (tls === null) return {};
  const [ca, cert, key] = [tls.ca, tls.cert, tls.key].map((path) => readFileSync(path));
  return { tls: { ca, cert, key, checkServerIdentity: () => undefined } };
}

async function commandAt(
  port: number,
  tls: ServerTls | null,
  [name, ...args]: readonly [string, ...string[]],
): Promise<unknown> {
  const client = new Redis({ host: '127.0.0.1', port, ...ownTls(tls), lazyConnect: true });
  try {
    return await client.call(name, ...args);
  } finally {
    client.disconnect();
  }
}

/** One redis-server that can be killed and started again on its data. */
export class TestRedis {
  readonly port: number;
  readonly dir: string;
  readonly #args: readonly string[];
  readonly #tls: ServerTls | null;
  #child: ChildProcess | null = null;

  private constructor(port: number, args: readonly string[], tls: ServerTls | null) {
    this.port = port;
    this.#tls = tls;
    this.dir = mkdtempSync(join(tmpdir(), 'pushcluster-redis-'));
    this.#args = args;
    process.once('exit', this.#killNow);
  }
  readonly #killNow = (): void => {
    this.#child?.kill('SIGKILL');
  };

  static async start(args: readonly string[] = [], port?: number, tls: ServerTls | null = null): Promise<TestRedis> {
    const redis = new TestRedis(port ?? (await freePort()), args, tls);
    await redis.start();
    return redis;
  }

  get url(): string {
    return `${this.#tls === null ? 'redis' : 'rediss'}://127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const listen = listening(this.port, this.#tls).flatMap(([name, value]) => [`--${name}`, value]);
    const own = [...listen, '--bind', '127.0.0.1', '--dir', this.dir, '--save', '', '--logfile', 'log'];
    this.#child = spawn('redis-server', [...own, ...this.#args], { stdio: 'ignore' });
    const client = new Redis({
      host: '127.0.0.1',
      port: this.port,
      ...ownTls(this.#tls),
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
  command(name: string, ...args: string[]): Promise<unknown> {
    return commandAt(this.port, this.#tls, [name, ...args]);
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

/** A Cluster of three masters. @param args more arguments of each */
export async function startCluster(
  tls: ServerTls | null = null,
  args: readonly string[] = [],
): Promise<{ url: string; masters: readonly TestRedis[]; remove(): Promise<void> }> {
  const masters: TestRedis[] = [];
  for (let i = 0; i < 3; i++) {
    const bus = `${await freePort()}`;
    masters.push(
      await TestRedis.start(
        [...VOLATILE, '--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-port', bus, ...args],
        undefined,
        tls,
      ),
    );
  }
  const addresses = masters.map(({ port }) => `127.0.0.1:${port}`);
  const secure = tls === null ? [] : ['--tls', '--cacert', tls.ca];
  const created = spawnSync('redis-cli', [...secure, '--cluster', 'create', ...addresses, '--cluster-yes'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (created.status !== 0) throw new Error(`redis-cli --cluster create: ${created.stdout}${created.stderr}`);
  for (const master of masters) await untilCluster(master);
  return {
    url: `${tls === null ? 'redis' : 'rediss'}+cluster://${addresses.join(',')}`,
    masters,
    remove: async () => {
      await Promise.all(masters.map((redis) => redis.remove()));
    },
  };
}

/** A Sentinel that watches one master under the name `main`. `replicas`: how many it has heard of and from. */
export async function startSentinel(
  master: TestRedis,
  tls: ServerTls | null = null,
): Promise<{
  url: string;
  port: number;
  command(name: string, ...args: string[]): Promise<unknown>;
  replicas(): Promise<number>;
  remove(): Promise<void>;
}> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-sentinel-'));
  const config = join(dir, 'sentinel.conf');
  const lines = [
    ...listening(port, tls).map((setting) => setting.join(' ')),
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
  const command = (name: string, ...args: string[]): Promise<unknown> => commandAt(port, tls, [name, ...args]);
  return {
    url: `${tls === null ? 'redis' : 'rediss'}+sentinel://127.0.0.1:${port}/main`,
    port,
    command,
    replicas: async () => {
      const rows = (await command('SENTINEL', 'REPLICAS', 'main')) as readonly (readonly string[])[];
      const isGood = (row: readonly string[]): boolean =>
        row[row.indexOf('flags') + 1] === 'slave' && Number(row[row.indexOf('info-refresh') + 1]) < 60_000;
      return rows.filter(isGood).length;
    },
    remove: async () => {
      const gone = new Promise((resolve) => child.once('close', resolve));
      killNow();
      await gone;
      process.removeListener('exit', killNow);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
