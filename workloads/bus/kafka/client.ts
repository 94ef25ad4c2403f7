// What every part of the Kafka bus is made from: its options, its times, and kafkajs clients. kafka-bus.ts fills in the defaults.
import kafkajs from 'kafkajs';
import type { Kafka, KafkaConfig, SASLOptions } from 'kafkajs';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { leaveGoneSockets } from './connections.ts';
import { followCoordinators } from './group-coordinator.ts';
import { calmRequestQueues } from './request-queue.ts';
import { plugInZstd } from './zstd.ts';

export interface KafkaBusOptions {
  /** host:port each. */
  readonly brokers: readonly string[];
  /** Null: plain TCP. `ca` null: the public certificates. */
  readonly tls: { readonly ca: string | null } | null;
  readonly sasl: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  } | null;
  /** Stands before topics and groups; a Kafka is shared. */
  readonly prefix: string;
  readonly partitions: number;
  /** Of topics that are made; 0: as the brokers are set. */
  readonly replication: number;
  readonly publishTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly tuning?: Partial<KafkaTuning>;
}

/** Times and bounds. The first six decide how fast a rebalance is: about 0.5 s with these, 4–10 s with kafkajs's own. */
export interface KafkaTuning {
  readonly heartbeatMs: number;
  /** A member that is silent for this long is out. */
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** A fetch with nothing to give waits this long at the broker. */
  readonly fetchWaitMs: number;
  /** A handler that takes longer is left to itself, its partition paused meanwhile, so that heartbeats and other partitions go on. */
  readonly detachMs: number;
  /** `consume` waits this long for its first assignment; the bus may be away. */
  readonly joinWaitMs: number;
  /** Records handed at once. */
  readonly batchMax: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** Bytes that may wait to be published. */
  readonly waitingBytesMax: number;
  /** How often the brokers are asked whether they are there: well, and away. */
  readonly probeMs: number;
  readonly probeAwayMs: number;
}

export const KAFKA_TUNING: KafkaTuning = {
  heartbeatMs: 300,
  sessionTimeoutMs: 6000, // the least that brokers take unless they are set otherwise
  rebalanceTimeoutMs: 10_000,
  fetchWaitMs: 200,
  detachMs: 100,
  joinWaitMs: 5000,
  batchMax: 500,
  backoffMinMs: 100,
  backoffMaxMs: 10_000,
  waitingBytesMax: 64 * 1024 * 1024,
  probeMs: 5000,
  probeAwayMs: 500,
};

export type KafkaParts = KafkaBusOptions & { readonly tuning: KafkaTuning };

/**
 * A kafkajs client. Each consumer needs one of its own: a client shares its committed offsets between all consumers of one group.
 * kafkajs's own lines go to debug; what matters is logged by us, once for each change.
 * @param patienceMs how long it tries to reach brokers that are away before it gives up with an error
 */
export function newKafka(parts: KafkaParts, clientId: string, patienceMs: number): Kafka {
  plugInZstd();
  calmRequestQueues();
  followCoordinators();
  leaveGoneSockets();
  const { brokers, tls, sasl, log, random } = parts;
  const first = Math.floor(random() * brokers.length);
  const config: KafkaConfig = {
    clientId: `pushcluster-${clientId}`,
    // kafkajs asks the first first: clients begin at different ones, so that one that is away is in nobody's way for long.
    brokers: [...brokers.slice(first), ...brokers.slice(0, first)],
    connectionTimeout: 3000,
    requestTimeout: Math.max(1000, Math.min(parts.publishTimeoutMs, 10_000)),
    retry: retriesFor(patienceMs, brokers.length),
    logLevel: kafkajs.logLevel.WARN,
    logCreator:
      () =>
      ({ namespace, log: { message, ...rest } }) =>
        log.debug({ kafkajs: namespace, problem: String(rest['error'] ?? '') }, message),
  };
  if (tls !== null) config.ssl = tls.ca === null ? true : { ca: [tls.ca] };
  if (sasl !== null) config.sasl = sasl as SASLOptions;
  return new kafkajs.Kafka(config);
}

/** kafkajs counts tries: at first 100 ms apart, then 500. Each of the brokers named has one at least. */
export function retriesFor(
  patienceMs: number,
  brokers = 1,
): { initialRetryTime: number; maxRetryTime: number; retries: number } {
  return { initialRetryTime: 100, maxRetryTime: 500, retries: Math.max(brokers, Math.ceil(patienceMs / 500) + 1) };
}

/** What a producer cannot go on with, and a new one can. */
const PRODUCERS_OWN = new Set<unknown>([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
]);

/**
 * Whether another try may do better: a broker is on its way out or in, a leader or coordinator moves. False for what stays wrong until
 * someone changes it: rights, passwords, settings, the records themselves.
 */
export function isPassing(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { retriable, type } = at as { retriable?: unknown; type?: unknown };
    if (retriable === true || PRODUCERS_OWN.has(type)) return true;
  }
  return false;
}

/** kafkajs's error in one line: its type where the broker gave one. */
export function describeKafkaError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { type } = error as { type?: unknown };
  return typeof type === 'string' ? `${type}: ${error.message}` : `${error.name}: ${error.message}`;
}
