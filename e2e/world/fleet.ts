// A thousand clients beside the pods: e2e/fleet's processes, as many as it takes, on one PushCluster. They register through the registry's Service
// and connect to the gateways that they are given, by the addresses that they are given. traffic.ts adds the publisher.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../cluster/wait.ts';
import type { Behaviour } from '../fleet/behaviour.ts';
import type { FleetCounts, FleetOptions as SpawnedOptions } from '../fleet/clients.ts';
import type { TopicWish } from '../fleet/device.ts';
import { isReady, spawnFleet } from '../fleet/spawned.ts';
import type { SpawnedFleet } from '../fleet/spawned.ts';
import type { Stage } from './stage.ts';

export interface FleetOptions {
  readonly clients: number;
  /** Before the number in each device's name: keeps fleets of one app apart. */
  readonly devices: string;
  readonly topics?: readonly (string | TopicWish)[];
  /** What its applications do besides taking messages, and how its clients are set up. */
  readonly behaviour?: Behaviour;
  readonly client?: SpawnedOptions['client'];
  readonly pullMax?: number;
}

/** All processes of a fleet as one. */
export interface Fleet {
  readonly clients: number;
  /** Folder with each client's log. */
  readonly logs: string;
  counts(): Promise<readonly FleetCounts[]>;
  /** Waits until every client is live and holds its topics. */
  whenReady(timeoutMs: number): Promise<void>;
  flush(): Promise<void>;
  /** Each process by itself: what devices of it are told to do (crash, join, send) is told through it. */
  readonly processes: readonly SpawnedFleet[];
  stop(): Promise<void>;
}

const CLIENTS_PER_PROCESS = 500;
/** Clients started a second, over all processes. */
const START_RATE = 250;

/** Starts the clients and waits until all are live. */
export async function startFleet(stage: Stage, options: FleetOptions): Promise<Fleet> {
  const logs = mkdtempSync(join(tmpdir(), 'pushcluster-fleet-'));
  const shares = split(options.clients);
  const { behaviour, client, pullMax } = options;
  const more = {
    ...(behaviour === undefined ? {} : { behaviour }),
    ...(client === undefined ? {} : { client }),
    ...(pullMax === undefined ? {} : { pullMax }),
  };
  const started = shares.map(async ({ first, count }) => {
    return await spawnFleet({
      ...more,
      registryUrl: stage.registryUrl,
      app: stage.app.name,
      privateJwk: stage.app.privateJwk,
      topics: options.topics ?? [],
      logs,
      prefix: options.devices,
      first,
      count,
      startRate: START_RATE / shares.length,
    });
  });
  const processes: readonly SpawnedFleet[] = await Promise.all(started);
  for (const { pid } of processes) stage.running.add(pid);
  const counts = async (): Promise<readonly FleetCounts[]> => await Promise.all(processes.map((one) => one.counts()));
  const fleet: Fleet = {
    clients: options.clients,
    logs,
    processes,
    counts,
    whenReady: async (timeoutMs) => {
      const look = async (): Promise<true> => {
        const all = await counts();
        if (all.every(isReady)) return true;
        throw new Error(describeCounts(all));
      };
      await waitFor(`${options.clients} clients to be live`, look, { timeoutMs, intervalMs: 200 });
    },
    flush: async () => void (await Promise.all(processes.map((one) => one.flush()))),
    stop: async () => {
      await Promise.all(processes.map((one) => one.stop()));
      for (const { pid } of processes) stage.running.delete(pid);
    },
  };
  await fleet.whenReady(90_000);
  return fleet;
}

function split(clients: number): readonly { readonly first: number; readonly count: number }[] {
  const processes = Math.ceil(clients / CLIENTS_PER_PROCESS);
  const each = Math.ceil(clients / processes);
  return Array.from({ length: processes }, (_, i) => ({ first: i * each, count: Math.min(each, clients - i * each) }));
}

/** For messages: states, what was received, and the last problems. */
export function describeCounts(all: readonly FleetCounts[]): string {
  const short = all.map(({ clients, states, gateways, subscribed, received, gaps, errors, problems }) => ({
    clients,
    states,
    gateways,
    subscribed,
    received,
    gaps,
    errors,
    problems: problems.slice(-3),
  }));
  return JSON.stringify(short);
}
