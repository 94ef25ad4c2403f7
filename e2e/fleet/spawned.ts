// Fleet and publisher as processes of their own, typed: what scenarios use. Each is told over its standard input (control.ts).
import { fileURLToPath } from 'node:url';
import type { GroupPage } from '../../workloads/client/client.ts';
import type { FleetCounts, FleetOptions, GroupOp } from './clients.ts';
import { spawnControlled } from './control.ts';
import type { TopicWish } from './device.ts';
import type { PublishCounts, PublishOptions } from './publish.ts';
import type { SendOptions, TalkCounts, UpstreamOptions } from './talk.ts';

export interface SpawnedFleet {
  readonly pid: number;
  counts(): Promise<FleetCounts>;
  /** Resolves when `isSo`; rejects after `timeoutMs` with the last counts. Looks every 100 ms. */
  until(isSo: (counts: FleetCounts) => boolean, timeoutMs: number): Promise<FleetCounts>;
  /** Until every client is live and holds its topics. */
  ready(timeoutMs: number): Promise<FleetCounts>;
  cut(count: number): Promise<void>;
  crash(count: number): Promise<void>;
  subscribe(topics: readonly (string | TopicWish)[]): Promise<void>;
  group(op: GroupOp, group: string, count?: number): Promise<void>;
  members(group: string, after?: string): Promise<GroupPage>;
  /** Client to client; resolves when all are stored. */
  send(options: SendOptions): Promise<TalkCounts>;
  /** To the business; resolves when the bus has all. */
  upstream(options: UpstreamOptions): Promise<TalkCounts>;
  flush(): Promise<void>;
  /** Closes every client; the logs are complete. */
  stop(): Promise<FleetCounts>;
  kill(): Promise<void>;
}
export interface SpawnedPublisher {
  readonly pid: number;
  counts(): Promise<PublishCounts>;
  /** Until `count` publications have an outcome. */
  wait(): Promise<PublishCounts>;
  /** Nothing new; resolves when everything under way has an outcome. */
  stop(): Promise<PublishCounts>;
}

const POLL_MS = 100;

/** Resolves when all clients have begun. */
export async function spawnFleet(options: FleetOptions): Promise<SpawnedFleet> {
  const child = await spawnControlled(fileURLToPath(import.meta.resolve('./fleet.ts')), options);
  const counts = async (): Promise<FleetCounts> => (await child.ask({ do: 'counts' })) as FleetCounts;
  const until: SpawnedFleet['until'] = async (isSo, timeoutMs) => {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const now = await counts();
      if (isSo(now)) return now;
      if (performance.now() > endMs)
        throw new Error(`not so within ${timeoutMs} ms: ${JSON.stringify({ ...now, reconnectsAtMs: undefined })}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  return {
    pid: child.pid,
    counts,
    until,
    ready: (timeoutMs) => until(isReady, timeoutMs),
    cut: async (count) => void (await child.ask({ do: 'cut', count })),
    crash: async (count) => void (await child.ask({ do: 'crash', count })),
    subscribe: async (topics) => void (await child.ask({ do: 'subscribe', topics })),
    group: async (op, group, count) => void (await child.ask({ do: 'group', op, group, count })),
    members: async (group, after) => (await child.ask({ do: 'members', group, after })) as GroupPage,
    send: async (talk) => (await child.ask({ do: 'send', ...talk })) as TalkCounts,
    upstream: async (talk) => (await child.ask({ do: 'upstream', ...talk })) as TalkCounts,
    flush: async () => void (await child.ask({ do: 'flush' })),
    stop: async () => (await child.stop()) as FleetCounts,
    kill: () => child.kill(),
  };
}

export function isReady(counts: FleetCounts): boolean {
  return counts.states.live === counts.clients && counts.subscribed === counts.clients;
}

/** It publishes from now on. */
export async function spawnPublisher(options: PublishOptions): Promise<SpawnedPublisher> {
  const child = await spawnControlled(fileURLToPath(import.meta.resolve('./publisher.ts')), options);
  return {
    pid: child.pid,
    counts: async () => (await child.ask({ do: 'counts' })) as PublishCounts,
    wait: async () => (await child.ask({ do: 'wait' })) as PublishCounts,
    stop: async () => (await child.stop()) as PublishCounts,
  };
}
