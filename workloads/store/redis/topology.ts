// Which node an item goes to. single.ts (one node, or the master that Sentinels name) and cluster.ts implement it; the operations
// (streams.ts, sessions.ts, …) only know this.
import type { Item } from './batch.ts';
import type { RedisNode } from './node.ts';
import { StoreUnavailableError } from '../port.ts';
import type { Script } from './scripts/script.ts';
import { Trip } from './trip.ts';
import type { Argument } from './batch.ts';
import type { Reply } from './trip.ts';

export interface Topology {
  /** Null: not known now. */
  nodeFor(bucket: number): RedisNode | null;
  nodes(): readonly RedisNode[];
  /** Resolves when the nodes have answered or failed, or after the time. */
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

/** Asks all items of one script in this tick; answers their replies in order. Rejects with StoreUnavailableError. */
export function askAll(topology: Topology, script: Script, asked: readonly Asked[]): Promise<readonly Reply[]> {
  if (asked.length === 0)
    return topology.trouble() === 'closed'
      ? Promise.reject(new StoreUnavailableError('the store is closed'))
      : Promise.resolve([]);
  const trip = new Trip(asked.length);
  asked.forEach((item, index) => route(topology, { script, ...item, trip, index, moves: 0 }));
  return trip.promise;
}

export async function askOne(topology: Topology, script: Script, asked: Asked): Promise<Reply> {
  return (await askAll(topology, script, [asked]))[0]!;
}

/** Sends an item to its node. */
export function route(topology: Topology, item: Item): void {
  const node = topology.nodeFor(item.bucket);
  if (node === null)
    item.trip.fail(new StoreUnavailableError(`no node of the store is known for bucket ${item.bucket}`));
  else node.ask(item);
}
