// "My Kafka is down. My Redis is down. Both are." What goes on meanwhile, what the PushCluster says of it, and that nothing accepted is lost or
// comes twice: record by record over all of it (R13, C7, C9). And a link that is cut: deliveries go round it, over Kafka (C6, C7).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TestBroker } from '../../workloads/bus/kafka/test-broker.ts';
import { kubectl } from '../cluster/kubectl.ts';
import { signalPod } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait.ts';
import { assertLedgerExact, businessOf } from '../world/business.ts';
import { cutLink } from '../world/cut-link.ts';
import { explained } from '../world/diagnosis.ts';
import { busSpec, startKafka } from '../world/kafka.ts';
import { measured } from '../world/measured.ts';
import { OWN_REDIS_POD, ownRedis, ownRedisStore } from '../world/own-redis.ts';
import { isReadyWith, podsOf, saysOf, waitForCluster } from '../world/push-cluster.ts';
import { metricOfRole } from '../world/role-metrics.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { startTraffic } from '../world/traffic.ts';
import type { Traffic } from '../world/traffic.ts';

const name = 'outages';
const namespace = `e2e-${name}`;
const CLIENTS = 200;
const RATE = 50;
/** A push that is journalled waits for the store's timeout of 2 s at most. */
const SILENCE_MS_MAX = 6000;

describe('outages', { timeout: 400_000 }, () => {
  let broker: TestBroker;
  let stage: Stage;
  let traffic: Traffic;
  before(async () => {
    broker = await startKafka();
    await explained(namespace, async () => {
      stage = await openStage({
        name,
        gateways: 2,
        spec: { store: ownRedisStore(namespace), bus: busSpec(broker) },
        beforehand: ownRedis(namespace),
      });
      await waitForCluster(stage, 'the bus reached', saysOf('BusReachable', 'True'), 60_000);
      traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: RATE });
    });
  });
  after(async () => {
    await stage?.close();
    await broker?.remove();
  });

  const outage = async (what: string, sinceMs: number): Promise<void> => {
    const silenceMs = traffic.longestSilenceMs(sinceMs);
    measured(what, { 'longest time without an accepted push, seconds': silenceMs / 1000 });
  };

  it('Kafka killed: pushes go on as before, and the PushCluster says so', async () => {
    await explained(namespace, async () => {
      await traffic.whenAccepted(200);
      const sinceMs = Date.now();
      await broker.kill();
      await waitForCluster(stage, 'the bus away', saysOf('BusReachable', 'False'), 60_000);
      await traffic.whenAccepted(200);
      await broker.start();
      await waitForCluster(stage, 'the bus back', saysOf('BusReachable', 'True'), 60_000);
      await outage('Kafka killed and started again', sinceMs);
      assert.ok(traffic.longestSilenceMs(sinceMs) < SILENCE_MS_MAX);
    });
  });

  it('Redis stopped: pushes are journalled, clients stay and receive, and all of it is stored when Redis is back', async () => {
    await explained(namespace, async () => {
      const sinceMs = Date.now();
      await signalPod({ namespace, pod: OWN_REDIS_POD }, 'SIGSTOP');
      await waitForCluster(stage, 'the store away', saysOf('StoreReachable', 'False'), 60_000);
      assert.match(await kubectl(['get', 'pushcluster', name, '-n', namespace]), /HEALTH[^]*StoreAway/);
      await traffic.whenAccepted(200);
      const business = businessOf(stage);
      const journalled = await business.call<{ state: string }>('POST', '/v1/messages', {
        target: { topic: 'nobody-hears-it' },
        body: 1,
      });
      assert.equal(journalled.state, 'journalled');
      await signalPod({ namespace, pod: OWN_REDIS_POD }, 'SIGCONT');
      await waitForCluster(stage, 'the store back', saysOf('StoreReachable', 'True'), 60_000);
      const bothTold = async (): Promise<boolean> => {
        const events = await kubectl(['get', 'events', '-n', namespace]);
        return events.includes('StoreAway') && events.includes('StoreBack');
      };
      await waitFor('events of both', bothTold, { timeoutMs: 10_000 });
      await outage('Redis stopped for some seconds', sinceMs);
      assert.ok(traffic.longestSilenceMs(sinceMs) < SILENCE_MS_MAX);
      await traffic.whenAccepted(200);
    });
  });

  it('both gone: durable pushes are refused with a time to come back, live ones pass; then all goes on', async () => {
    await explained(namespace, async () => {
      const sinceMs = Date.now();
      await broker.kill();
      await signalPod({ namespace, pod: OWN_REDIS_POD }, 'SIGSTOP');
      const business = businessOf(stage);
      const live = await waitFor(
        'a live push to pass',
        async () =>
          await business.call<{ state: string }>('POST', '/v1/messages', {
            target: { topic: 'anything' },
            class: 'live',
            body: 1,
          }),
        { timeoutMs: 30_000 },
      );
      assert.equal(live.state, 'sent');
      const refused = await business.call<{ error: { code: string; retryAfterMs?: number } }>(
        'POST',
        '/v1/messages',
        { target: { topic: 'anything' }, body: 1 },
        503,
      );
      assert.ok((refused.error.retryAfterMs ?? 0) > 0, JSON.stringify(refused));
      await signalPod({ namespace, pod: OWN_REDIS_POD }, 'SIGCONT');
      await broker.start();
      await waitForCluster(stage, 'the store back', saysOf('StoreReachable', 'True'), 60_000);
      await traffic.whenAccepted(200);
      await outage('both gone', sinceMs);
    });
  });

  it('the links to one gateway cut: what is for its clients goes over Kafka, in time', async () => {
    await explained(namespace, async () => {
      const [router] = await podsOf(stage, 'router');
      const [gateway] = await podsOf(stage, 'gateway');
      const heal = await cutLink(router!, gateway!);
      const sinceMs = Date.now();
      try {
        await waitFor(
          'broadcasts over the bus',
          async () => (await metricOfRole(router!, 'pushcluster_router_hints_total', '"diverted"')) > 0,
          { timeoutMs: 60_000 },
        );
        await traffic.whenAccepted(200);
      } finally {
        await heal();
      }
      measured('links to one gateway cut', {
        'deliveries over the bus': await metricOfRole(router!, 'pushcluster_router_hints_total', '"diverted"'),
        'of them taken by the gateway': await metricOfRole(gateway!, 'pushcluster_gateway_broadcasts_total', '"taken"'),
        seconds: (Date.now() - sinceMs) / 1000,
      });
    });
  });

  it('over all of it nothing was lost, nothing came twice, and the ledger is exact', async () => {
    await explained(namespace, async () => {
      await waitForCluster(stage, 'Ready', isReadyWith(2), 60_000);
      await traffic.stop('outages');
      const { recounted: _agrees, untracked: _apart, ...ledger } = await assertLedgerExact(businessOf(stage));
      measured('ledger after the outages', ledger);
    });
  });
});
