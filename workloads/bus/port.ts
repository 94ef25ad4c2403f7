// The bus port: ordered, replayable messages between roles that do not wait for each other (upstream, broadcast,
// journal). Implementations: in-process.ts (embedded) and kafka/ (kafkajs); contract.ts is the suite for each.
//
// A bus MUST keep order for each key, hand a record to a group again until it is committed, and say `published` only when the
// record is kept as `durability` asks. It MUST NOT grow without bound: a full bus rejects with BusFullError.

export class BusUnavailableError extends Error {
  readonly code = 'bus-unavailable';
}
export class BusFullError extends Error {
  readonly code = 'bus-full';
}
/** A record's key, headers and value together, as record-size.ts counts them. */
export const BUS_RECORD_BYTES_MAX = 768 * 1024;

/** A record that no bus takes, however often it is tried: it is too large. */
export class BusRecordError extends Error {
  readonly code = 'bus-record';
}

export interface BusRecord {
  readonly topic: string;
  /** Records of one key keep their order. */
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Uint8Array;
}
export interface ReceivedRecord extends BusRecord {
  readonly partition: number;
  readonly offset: number;
}
/** Returning settles the batch up to its end; throwing hands it again, from its start, after a bounded backoff. */
export type BusHandler = (batch: readonly ReceivedRecord[]) => Promise<void>;

export interface BusConsume {
  readonly topics: readonly string[];
  /** Members of one group share the partitions. */
  readonly group: string;
  /** Where a group that is new starts: at the oldest record (default) or behind the newest. */
  readonly from?: 'oldest' | 'newest';
  /** The group is this life's alone, nobody comes back to it: it may be forgotten once its last member has stopped. */
  readonly isOfOneLife?: boolean;
  /** False: the record is passed over by its headers, before its value is decoded (C6). */
  readonly accepts?: (headers: Readonly<Record<string, string>>) => boolean;
  readonly handler: BusHandler;
}
export interface BusConsumer {
  /** Stops taking; resolves when the batch under way is settled. */
  stop(): Promise<void>;
}
/** Whether the bus answers now, and what is wrong: that it does not, or what fails though it does. */
export interface BusHealth {
  readonly reachable: boolean;
  readonly problem: string | null;
}
/** In one word, for those who look from outside: a bus that answers and does not do what it is asked is of no more use than one that is away. */
export function busState(bus: Pick<Bus, 'health'> | null): 'reachable' | 'away' | 'none' {
  if (bus === null) return 'none';
  const { reachable, problem } = bus.health();
  return reachable && problem === null ? 'reachable' : 'away';
}
export interface Bus {
  /**
   * All or nothing is not promised; each record is. `durability`: `all` (default) resolves once every in-sync replica has them,
   * `leader` once one has. Rejects with BusUnavailableError or BusFullError, outcome then unknown, or with BusRecordError.
   */
  publish(records: readonly BusRecord[], durability?: 'all' | 'leader'): Promise<void>;
  /**
   * Resolves once what is published from now on comes. While the bus is away it resolves after some seconds all the same, and the
   * consumer begins when the bus is there. Rejects with BusUnavailableError only when the bus is closed.
   */
  consume(options: BusConsume): Promise<BusConsumer>;
  /** Records not yet settled by a group. */
  lag(group: string, topic: string): Promise<number>;
  /** As last seen; costs no trip. */
  health(): BusHealth;
  close(): Promise<void>;
}

/** Topics of the bus, one place for their names; in a cluster `<namespace>.<PushCluster>.` stands before each. */
export const BUS_TOPICS = {
  /** Messages from clients, keyed for order (A7). Durability all. */
  upstream: 'pushcluster.upstream',
  /** Upstream messages whose handler gave up. Durability all. */
  upstreamDead: 'pushcluster.upstream.dead',
  /** Deliveries to gateways whose link fails (C7), device ids in the headers (C6). Durability leader. */
  broadcast: 'pushcluster.broadcast',
  /** Pushes accepted while the store was away (R13), until it has them. Durability all. */
  journal: 'pushcluster.journal',
} as const;
