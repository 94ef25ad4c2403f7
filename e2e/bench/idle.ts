// Memory of an idle connection with a live session: RSS of the gateway with and without them, once both have settled.
import { startLoad } from './load/load.ts';
import type { Load } from './load/load.ts';
import { gatewayMetric, startStage } from './stage.ts';
import { rssBytes } from './usage.ts';

const CONNECTIONS = 18_000;
const OPENS_PER_SECOND = 1000;
/** Longer than the quiet looks of runtime/heap-trim.ts. */
const SETTLE_MS = 20_000;
/** Within it no ping is needed. */
const HEARTBEAT_MS = 120_000;

export async function idle(environment: Readonly<Record<string, string>>): Promise<Readonly<Record<string, unknown>>> {
  const gateway = { PUSHCLUSTER_HEARTBEAT_INTERVAL_MS: String(HEARTBEAT_MS), ...environment };
  const stage = await startStage({ store: 'redis-everysec', devices: CONNECTIONS, router: false, gateway });
  let load: Load | null = null;
  try {
    await pause(3000);
    const baseRssBytes = rssBytes(stage.gateway.pid);
    load = await startLoad({
      port: stage.gateway.clientPort,
      connections: CONNECTIONS,
      opensPerSecond: OPENS_PER_SECOND,
      tokensFile: stage.tokensFile,
      topic: null,
      ack: false,
      sampleEvery: 0,
    });
    await load.untilLive(CONNECTIONS, 120_000);
    const peakRssBytes = rssBytes(stage.gateway.pid);
    await pause(SETTLE_MS);
    const { live } = await load.counts();
    const rss = rssBytes(stage.gateway.pid);
    return {
      connections: live,
      rssPerConnectionBytes: Math.round((rss - baseRssBytes) / live),
      baseRssBytes,
      rssBytes: rss,
      peakRssBytes,
      heapBytes: await gatewayMetric(stage, 'pushcluster_gateway_heap_bytes'),
      loadRssBytes: rssBytes(load.pid),
      settleMs: SETTLE_MS,
      opensPerSecond: OPENS_PER_SECOND,
      settings: stage.settings,
    };
  } finally {
    await load?.stop();
    await stage.stop();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
