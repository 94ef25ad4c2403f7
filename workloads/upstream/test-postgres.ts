// Starts a real PostgreSQL for tests: an empty cluster in a temporary folder, on loopback, ended by its pid. It refuses to run as root, so
// root starts it as the user that Debian's package makes.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { appendFileSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { freePort } from '../runtime/free-port.ts';

const START_MS = 20_000;

export interface TestPostgresOptions {
  /** findPart('postgres') and findPart('initdb') of e2e/setup/parts.ts. */
  readonly postgres: string;
  readonly initdb: string;
  /** Address that it listens on, for everyone who reaches it. Default 127.0.0.1. */
  readonly host?: string;
}

export class TestPostgres {
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  readonly #programs: TestPostgresOptions;
  readonly #as: { readonly uid?: number; readonly gid?: number };
  #child: ChildProcess | null = null;

  private constructor(programs: TestPostgresOptions, port: number) {
    this.host = programs.host ?? '127.0.0.1';
    this.port = port;
    this.#programs = programs;
    this.#as = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {};
    this.dir = mkdtempSync(join(tmpdir(), 'pushcluster-postgres-'));
    if (this.#as.uid !== undefined) chownSync(this.dir, this.#as.uid, this.#as.gid!);
    process.once('exit', this.#killNow);
  }
  readonly #killNow = (): void => {
    this.#child?.kill('SIGKILL');
  };

  static async start(programs: TestPostgresOptions): Promise<TestPostgres> {
    const server = new TestPostgres(programs, await freePort());
    const words = ['-D', join(server.dir, 'data'), '-U', 'push', '--auth=trust', '--no-sync', '--encoding=UTF8'];
    const made = spawnSync(programs.initdb, words, { ...server.#as, cwd: server.dir, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
    if (programs.host !== undefined)
      appendFileSync(join(server.dir, 'data', 'pg_hba.conf'), 'host all all all trust\n'); // only a namespace of its own reaches it
    await server.start();
    return server;
  }

  get url(): string {
    return `postgres://push@${this.host}:${this.port}/postgres`;
  }

  /** Starts it, again on the same data; resolves when it answers. */
  async start(): Promise<void> {
    const words = ['-D', join(this.dir, 'data'), '-h', this.host, '-p', `${this.port}`, '-k', this.dir];
    this.#child = spawn(this.#programs.postgres, words, { ...this.#as, cwd: this.dir, stdio: 'ignore' });
    const deadline = Date.now() + START_MS;
    while (!(await this.#answers())) {
      if (Date.now() > deadline) throw new Error(`postgres did not start in ${START_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async query(sql: string): Promise<readonly Record<string, unknown>[]> {
    const client = new Client({ connectionString: this.url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async #answers(): Promise<boolean> {
    return await this.query('SELECT 1').then(
      () => true,
      () => false,
    );
  }

  /** SIGQUIT: at once, as after a crash, but with its child processes. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGQUIT');
    await gone;
  }

  async remove(): Promise<void> {
    await this.kill();
    process.removeListener('exit', this.#killNow);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function idOf(which: '-u' | '-g'): number {
  return Number(spawnSync('id', [which, 'postgres'], { encoding: 'utf8' }).stdout);
}
