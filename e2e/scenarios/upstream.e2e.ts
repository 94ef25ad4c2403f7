// "What my users send must arrive": messages of clients through Kafka into PostgreSQL, while the broker, a gateway and the upstream role are
// killed. Each that a client was told is taken is stored exactly once, and in the order of its key (A7, A5).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { TestBroker } from '../../workloads/bus/kafka/test-broker.ts';
import type { TestPostgres } from '../../workloads/upstream/test-postgres.ts';
import { signalPod } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait.ts';
import { compareUpstream } from '../fleet/compare-upstream.ts';
import type { HandledUpstream } from '../fleet/compare-upstream.ts';
import type { UpstreamLine } from '../fleet/talk.ts';
import { explained } from '../world/diagnosis.ts';
import { busSpec, startKafka } from '../world/kafka.ts';
import { measured } from '../world/measured.ts';
import { startOneFleet } from '../world/one-fleet.ts';
import { databaseSecret, startPostgres } from '../world/postgres.ts';
import { podsOf, saysOf, waitForCluster } from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';

const name = 'upstream';
const namespace = `e2e-${name}`;
const CLIENTS = 100;
const MESSAGES = 3000;
const RATE = 150;
const secret = { namespace, name: 'upstream-database' };

describe('upstream', { timeout: 300_000 }, () => {
  let broker: TestBroker;
  let database: TestPostgres;
  let stage: Stage;
  before(async () => {
    [broker, database] = await Promise.all([startKafka(), startPostgres()]);
    await explained(namespace, async () => {
      stage = await openStage({
        name,
        gateways: 2,
        spec: {
          bus: busSpec(broker),
          upstream: {
            replicas: 2,
            handlers: [{ kinds: ['*'], type: 'database' }],
            database: { secretRef: { name: secret.name } },
          },
        },
        beforehand: [databaseSecret(secret, database)],
      });
      await waitForCluster(stage, 'the bus reached', saysOf('BusReachable', 'True'), 60_000);
    });
  });
  after(async () => {
    await stage?.close();
    await broker?.remove();
    await database?.remove();
  });

  it('broker, gateway and handler killed on the way: everything taken is stored once and in order', async () => {
    await explained(namespace, async () => {
      const fleet = await startOneFleet(stage, { prefix: 'up-', count: CLIENTS });
      const log = `${fleet.logs}/upstream.jsonl`;
      const startedMs = performance.now();
      const saying = fleet.upstream({
        kind: 'order.placed',
        rate: RATE,
        count: MESSAGES,
        orders: 3,
        keyPrefix: 'up',
        log,
      });
      const stored = async (): Promise<number> =>
        Number((await database.query(COUNT).catch(() => [{ n: 0 }]))[0]?.['n'] ?? 0);
      const whenStored = async (more: number): Promise<void> => {
        const before = await stored();
        const look = async (): Promise<boolean> => (await stored()) >= Math.min(MESSAGES, before + more);
        await waitFor(`${more} more messages to be stored`, look, { timeoutMs: 60_000, intervalMs: 200 });
      };
      await whenStored(300);
      await signalPod({ namespace, pod: (await podsOf(stage, 'upstream'))[0]!.metadata.name }, 'SIGKILL');
      await whenStored(300);
      await broker.kill();
      await new Promise((resolve) => setTimeout(resolve, 4000)); // messages are taken into the gateways' files meanwhile
      await broker.start();
      await whenStored(300);
      await signalPod({ namespace, pod: (await podsOf(stage, 'gateway'))[0]!.metadata.name }, 'SIGKILL');
      const said = await saying;
      const lines = readFileSync(log, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as UpstreamLine);
      const owed = lines.filter(({ takenMs }) => takenMs !== null).length;
      await waitFor('everything taken to be stored', async () => (await stored()) >= owed, {
        timeoutMs: 60_000,
        intervalMs: 300,
      });
      const rows = await database.query(ROWS);
      const compared = compareUpstream(
        lines,
        rows.map((row) => row['body'] as HandledUpstream),
      );
      measured('upstream through Kafka into PostgreSQL, three kills', {
        taken: said.taken,
        owed: compared.owed,
        handled: compared.handled,
        lost: compared.lost.length,
        doubled: compared.doubled.length,
        'out of order': compared.outOfOrder,
        seconds: (performance.now() - startedMs) / 1000,
      });
      assert.deepEqual(
        {
          lost: compared.lost.slice(0, 3),
          doubled: compared.doubled.slice(0, 3),
          outOfOrder: compared.outOfOrder,
          strangers: compared.strangers,
        },
        { lost: [], doubled: [], outOfOrder: 0, strangers: 0 },
      );
      await fleet.stop();
    });
  });
});

const COUNT = 'SELECT count(*) AS n FROM pushcluster_upstream';
const ROWS = 'SELECT body FROM pushcluster_upstream ORDER BY seq';
