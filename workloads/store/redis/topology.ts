// Which node an item goes to. single.ts (one node, or the master that Sentinels name) and cluster.ts implement it; the operations
// (streams.ts, sessions.ts, …) only know this.
import type { Item } from './batch.ts';
import { allBuckets } from './keys.ts';
import type { RedisNode } from './node.ts';
import { StoreUnavailableError } from '../port.ts';
import type { Script } from './scripts/script.ts';
import { listOf, numberOf, Trip } from './trip.ts';
import type { Argument } from './batch.ts';
import type { Reply } from './trip.ts';

export interface Topology {
  /** Null: not known now. */
  nodeFor(bucket: number): RedisNode | null;
  nodes(): readonly RedisNode[];
  /** Resolves when the nodes have answered or failed, when they do not fit our settings, or after the time. */
  settled(timeoutMs: number): Promise<void>;
  /** Why it is not reachable; null: it is. */
  trouble(): string | null;
  close(): void;
}

/** One item to be asked. */
export interface Asked {
  readonly bucket: number;
  readonly key: string;
  readonly args: readonly Argument[];
}

export interface Answers {
  readonly replies: readonly Reply[];
  /** By item; null: none failed. */
  readonly failures: ReadonlyMap<number, StoreUnavailableError> | null;
}

/** Asks all items of one script in this tick; answers their replies in order. Rejects with StoreUnavailableError. */
export function askAll(topology: Topology, script: Script, asked: readonly Asked[]): Promise<readonly Reply[]> {
  if (asked.length === 0)
    return topology.trouble() === 'closed'
      ? Promise.reject(new StoreUnavailableError('the store is closed'))
      : Promise.resolve([]);
  const trip = new Trip(asked.length);
  send(topology, script, { asked, trip });
  return trip.promise;
}

/** As askAll, and an item that fails fails alone. */
export async function askEach(topology: Topology, script: Script, asked: readonly Asked[]): Promise<Answers> {
  if (asked.length === 0) return { replies: await askAll(topology, script, asked), failures: null };
  const trip = new Trip(asked.length, true);
  send(topology, script, { asked, trip });
  return { replies: await trip.promise, failures: trip.failures };
}

function send(topology: Topology, script: Script, { asked, trip }: { asked: readonly Asked[]; trip: Trip }): void {
  // Field by field: spreading an item behind a field takes ten times as long.
  asked.forEach(({ bucket, key, args }, index) =>
    route(topology, { script, bucket, key, args, trip, index, moves: 0 }),
  );
}

export async function askOne(topology: Topology, script: Script, asked: Asked): Promise<Reply> {
  return (await askAll(topology, script, [asked]))[0]!;
}

/** Sends an item to its node. */
export function route(topology: Topology, item: Item): void {
  const node = topology.nodeFor(item.bucket);
  if (node === null)
    item.trip.fail(item.index, new StoreUnavailableError(`no node of the store is known for bucket ${item.bucket}`));
  else node.ask(item);
}

/** Buckets that one item of a walk looks at: Redis is held for 0.1 ms where they are empty, and for a millisecond where all are in use. */
export const WALK_BUCKETS = 32;

/**
 * Asks a walk (scripts/script.ts) about buckets; answers what it found by bucket, and nothing for a bucket where it found nothing. A node is
 * asked item after item: what all buckets cost, 60–120 ms where they are full, would otherwise be one stall for everyone else.
 */
export async function walkBuckets(
  topology: Topology,
  script: Script,
  options: { readonly args?: readonly Argument[]; readonly buckets?: readonly number[] } = {},
): Promise<ReadonlyMap<number, Reply>> {
  const { args = [], buckets = allBuckets() } = options;
  const byNode = new Map<RedisNode | null, number[]>();
  for (const bucket of buckets) {
    const node = topology.nodeFor(bucket);
    const ofNode = byNode.get(node);
    if (ofNode === undefined) byNode.set(node, [bucket]);
    else ofNode.push(bucket);
  }
  const found = new Map<number, Reply>();
  const walkNode = async (ofNode: readonly number[]): Promise<void> => {
    for (let i = 0; i < ofNode.length; i += WALK_BUCKETS) {
      const some = ofNode.slice(i, i + WALK_BUCKETS);
      const asked = { bucket: some[0]!, key: `{${some[0]!}}c`, args: [some.join(' '), ...args] };
      const flat = listOf(await askOne(topology, script, asked));
      for (let at = 0; at + 1 < flat.length; at += 2) found.set(numberOf(flat[at]), flat[at + 1]!);
    }
  };
  await Promise.all(Array.from(byNode.values(), walkNode));
  return found;
}
