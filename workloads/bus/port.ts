// The bus port: ordered, replayable messages between roles that do not wait for each other (upstream now; broadcast and
// journal with Kafka). Implementations: in-process.ts here, kafka with its issue; contract.ts is the suite for each.
//
// A bus MUST keep order for each key, hand a record to a group again until it is committed, and say `published` only when the
// record is kept as `durability` asks. It MUST NOT grow without bound: a full bus rejects with BusFullError.

export class BusUnavailableError extends Error {
  readonly code = 'bus-unavailable';
}
export class BusFullError extends Error {
  readonly code = 'bus-full';
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

export interface BusConsumer {
  /** Stops taking; resolves when the batch under way is settled. */
  stop(): Promise<void>;
}
export interface Bus {
  /** All or nothing is not promised; each record is. Rejects with BusUnavailableError or BusFullError, outcome then unknown. */
  publish(records: readonly BusRecord[]): Promise<void>;
  /** Members of one group share the partitions; a group that is new starts at the oldest record. */
  consume(options: { topics: readonly string[]; group: string; handler: BusHandler }): Promise<BusConsumer>;
  /** Records not yet settled by a group. */
  lag(group: string, topic: string): Promise<number>;
  close(): Promise<void>;
}

/** Topics of the bus, one place for their names. */
export const BUS_TOPICS = { upstream: 'pushcluster.upstream' } as const;
