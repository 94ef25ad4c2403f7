// "Everything crashes, one after the other": each role's process killed under load, twice round, with Kafka in the cluster; nothing that was
// accepted is lost or given twice, and the ledger is exact in the end.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TestBroker } from '../../workloads/bus/kafka/test-broker.ts';
import { signalPod } from '../cluster/processes.ts';
import { assertLedgerExact, businessOf } from '../world/business.ts';
import { explained } from '../world/diagnosis.ts';
import { busSpec, startKafka } from '../world/kafka.ts';
import { measured } from '../world/measured.ts';
import { isReadyWith, podsOf, waitForCluster } from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { startTraffic } from '../world/traffic.ts';

const name = 'roles-crash';
const namespace = `e2e-${name}`;
const CLIENTS = 200;
const ROLES = ['router', 'registry', 'drainer', 'upstream', 'gateway'] as const;

describe('every role crashes', { timeout: 400_000 }, () => {
  let broker: TestBroker;
  let stage: Stage;
  before(async () => {
    broker = await startKafka();
    await explained(namespace, async () => {
      stage = await openStage({
        name,
        gateways: 2,
        spec: {
          router: { replicas: 2 },
          bus: busSpec(broker),
          upstream: { handlers: [{ kinds: ['*'], type: 'echo' }] },
        },
      });
    });
  });
  after(async () => {
    await stage?.close();
    await broker?.remove();
  });

  it('killed in turn under load: nothing is lost, nothing comes twice, the ledger adds up', async () => {
    await explained(namespace, async () => {
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 50 });
      for (const role of ROLES) {
        await traffic.whenAccepted(150);
        const sinceMs = Date.now();
        const [victim] = await podsOf(stage, role);
        assert.ok(victim, `there is a ${role}`);
        await signalPod({ namespace, pod: victim.metadata.name }, 'SIGKILL');
        await traffic.whenAccepted(150);
        measured(`kill -9 of a ${role}`, {
          'longest time without an accepted push, seconds': traffic.longestSilenceMs(sinceMs) / 1000,
        });
      }
      await waitForCluster(stage, 'Ready again', isReadyWith(2), 90_000);
      await traffic.whenAccepted(100);
      await traffic.stop('every role killed in turn');
      const { recounted: _agrees, untracked: _apart, ...ledger } = await assertLedgerExact(businessOf(stage));
      measured('ledger in the end', ledger);
    });
  });
});
