import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BootId } from '../protocol/ids.ts';
import { METRIC } from '../protocol/metrics-names.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { countMessage, newRouterCounts } from './counts.ts';
import { aGateway, aStore, ringOfLinkKey } from './fixtures.ts';
import { replyOf } from './doors/client-door.ts';
import { Hints } from './delivery/hints.ts';
import { LiveQueue } from './delivery/live-queue.ts';
import { openMetrics } from './metrics.ts';

test('routes in the store are shown by gateway, those of ended lives as gone; messages by what became of them', async (t) => {
  const { store } = await aStore(t);
  const gateway = await aGateway(t, store);
  const counts = newRouterCounts();
  const hints = new Hints({
    store,
    leasePollMs: 60_000,
    routeCacheMs: 0,
    routeCacheRowsMax: 0,
    clock: systemClock,
    log: silentLog,
    counts,
    bus: null,
    link: {
      name: 'router-1',
      keys: () => ringOfLinkKey.current().link,
      random: Math.random,
      onCommand: async ({ seq }) => replyOf(seq, 404, {}),
    },
    onRoom: () => {},
    onOffline: () => {},
  });
  t.after(() => hints.gateways.stop('kill'));
  await hints.gateways.start();
  const live = new LiveQueue({ clock: systemClock, gateways: () => hints.gateways.all(), onMissed: () => {} });
  const counted = new Map([
    [gateway.bootId, 7],
    ['boot-a' as BootId, 2],
    ['boot-b' as BootId, 1],
  ]);
  const gauges = { ledgers: new Map(), deadLetters: new Map(), jobs: 3 };
  const metrics = openMetrics({
    gauges: { read: () => gauges },
    counts,
    hints,
    live,
    peers: { current: null },
    journal: null,
    intake: { level: 0, bytesPerSecond: 0 },
    upkeep: { routes: () => counted, stop: () => {} },
  });
  countMessage(counts, ['durable', 'device', 'stored']);
  metrics.answered('/v1/messages', 202, 3);
  const lines = (await metrics.register.metrics()).split('\n');
  for (const line of [
    `${METRIC.routesStore}{gateway="gw-0"} 7`,
    `${METRIC.routesStore}{gateway="gone"} 3`,
    'pushcluster_router_messages_total{class="durable",target="device",outcome="stored"} 1',
    'pushcluster_router_gateways 1',
    'pushcluster_router_request_seconds_count{route="/v1/messages",status="202"} 1',
  ])
    assert.ok(lines.includes(line), line);
});
