// Messages of clients through a real Kafka into a real database, while the broker is killed and upstream roles come and go under load:
// everything that was taken is stored once, in the order of its key. Prints what it measured.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { findPart, missingPart } from '../../e2e/setup/parts.ts';
import { openKafkaBus } from '../bus/kafka/kafka-bus.ts';
import { TestBroker } from '../bus/kafka/test-broker.ts';
import { BUS_TOPICS } from '../bus/port.ts';
import type { Bus } from '../bus/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { aRole, anUpstreamRecord, until } from './fixtures.ts';
import type { UpstreamUnderTest } from './fixtures.ts';
import { UPSTREAM_GROUP } from './role.ts';
import { TestPostgres } from './test-postgres.ts';

const skip = missingPart('kafka', 'java') ?? false;
const withoutPostgres = missingPart('postgres', 'initdb') ?? false;
const DEVICES = 20;

interface Database {
  readonly url: string;
  /** Device and key of every row, in the order of storing. */
  rows(): Promise<readonly { readonly device: string; readonly key: string }[]>;
}

async function onPostgres(t: TestContext): Promise<Database> {
  const server = await TestPostgres.start({ postgres: findPart('postgres')!, initdb: findPart('initdb')! });
  t.after(() => server.remove());
  const rows = async () =>
    (await server.query('SELECT device, key FROM pushcluster_upstream ORDER BY seq')) as {
      device: string;
      key: string;
    }[];
  return { url: server.url, rows };
}

function onSqlite(t: TestContext): Database {
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-chaos-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, 'upstream.sqlite');
  const rows = () => {
    const db = new DatabaseSync(path, { readOnly: true });
    const found = db.prepare('SELECT device, key FROM pushcluster_upstream ORDER BY seq').all();
    db.close();
    return Promise.resolve(found as { device: string; key: string }[]);
  };
  return { url: `sqlite:${path}`, rows };
}

/** Clients: each sends its messages one after another, again until each is taken, for as long as it is told. */
class Senders {
  readonly taken = new Map<string, number>();
  readonly #bus: Bus;
  readonly #stopped = new AbortController();
  again = 0;
  longestGapMs = 0;
  readonly #done: Promise<unknown>;

  constructor(bus: Bus) {
    this.#bus = bus;
    this.#done = Promise.all(Array.from({ length: DEVICES }, (_, i) => this.#send(`device-${i}`)));
  }

  async #send(device: string): Promise<void> {
    for (let n = 0; !this.#stopped.signal.aborted; n++) {
      const record = anUpstreamRecord({
        device,
        key: String(n).padStart(6, '0'),
        body: { n },
        receivedAtMs: Date.now(),
      });
      const startedAt = performance.now();
      while (!(await this.#bus.publish([record], 'all').then(yes, no))) {
        this.again++;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      this.longestGapMs = Math.max(this.longestGapMs, performance.now() - startedAt);
      this.taken.set(device, n + 1);
    }
  }

  get count(): number {
    return [...this.taken.values()].reduce((sum, n) => sum + n, 0);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
  }
}
const yes = (): boolean => true;
const no = (): boolean => false;

function busOn(broker: TestBroker, prefix: string): Bus {
  return openKafkaBus({
    brokers: broker.brokers,
    tls: null,
    sasl: null,
    prefix,
    partitions: 8,
    replication: 1,
    publishTimeoutMs: 20_000,
    clock: systemClock,
    log: silentLog,
    random: Math.random,
  });
}

interface Trial {
  readonly broker: TestBroker;
  readonly database: Database;
  readonly prefix: string;
}

async function survives(t: TestContext, { broker, database, prefix }: Trial): Promise<void> {
  const buses: Bus[] = [];
  const open = (): Bus => {
    const bus = busOn(broker, prefix);
    buses.push(bus);
    return bus;
  };
  t.after(() => Promise.all(buses.map((bus) => bus.close())));
  const env = {
    PUSHCLUSTER_UPSTREAM_HANDLERS: JSON.stringify([{ kinds: ['*'], type: 'database' }]),
    PUSHCLUSTER_UPSTREAM_DATABASE: database.url,
  };
  const start = (): Promise<UpstreamUnderTest> => aRole(t, { env, bus: open() });
  const first = await start();
  const second = await start();
  const senders = new Senders(open());
  const more = async (count: number): Promise<void> => {
    const wanted = senders.count + count;
    await until(`${count} more are taken`, () => senders.count >= wanted);
  };
  await more(500);
  const killedAt = performance.now();
  await broker.kill();
  await broker.start();
  const brokerGapMs = performance.now() - killedAt;
  await more(500);
  first.role.kill();
  await more(300);
  await start();
  await more(300);
  await second.role.stop();
  await more(500);
  await senders.stop();
  const lag = (): Promise<number> => buses[buses.length - 1]!.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream);
  await until('everything is settled', async () => (await lag()) === 0);

  const stored = Map.groupBy(await database.rows(), ({ device }) => device);
  for (const [device, count] of senders.taken) {
    const keys = (stored.get(device) ?? []).map(({ key }) => Number(key));
    assert.deepEqual(
      keys,
      Array.from({ length: count }, (_, n) => n),
      `${device}: each once, in order`,
    );
  }
  const round = Math.round;
  t.diagnostic(
    `${senders.count} taken and stored once; ${senders.again} publishes sent again; broker away ${round(brokerGapMs)} ms, longest publish ${round(senders.longestGapMs)} ms`,
  );
}

describe('upstream while the broker is killed and roles come and go', { skip }, () => {
  let broker: TestBroker;
  before(async () => {
    broker = await TestBroker.start({ program: findPart('kafka')! });
  });
  after(async () => {
    await broker?.remove();
  });

  test('everything taken is stored once and in order: SQLite', async (t) =>
    survives(t, { broker, database: onSqlite(t), prefix: 'sqlite.' }));
  test('everything taken is stored once and in order: PostgreSQL', { skip: withoutPostgres }, async (t) =>
    survives(t, { broker, database: await onPostgres(t), prefix: 'postgres.' }),
  );
});
