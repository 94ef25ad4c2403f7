// One producer after another for publisher.ts: sends a call's records, and again what no broker has answered for. kafkajs keeps answers by
// broker: a partition that moves, in the middle of a call, to a broker that has answered for others is left out, and the call succeeds
// without it. So the partitions that a call has records for are noted, and compared with those that were answered for.
import kafkajs from 'kafkajs';
import type { Message, PartitionerArgs, Producer, RecordMetadata } from 'kafkajs';
import { sizeOf } from '../record-size.ts';
import type { BusRecord } from '../port.ts';
import { newKafka, retriesFor } from './client.ts';
import type { KafkaParts } from './client.ts';
import type { Topics } from './topics.ts';

/** Smaller calls are sent as they are: the codec costs more than it saves. */
const COMPRESS_BYTES_MIN = 1024;

type Choose = (args: PartitionerArgs) => number;

/** Messages on their way, by the topic's name on the brokers. */
export type Batch = ReadonlyMap<string, readonly Message[]>;
/** Where a topic's messages went, as last tried. */
export interface Placing {
  readonly partitions: Set<number>;
  partitionOf(message: Message): number;
}

interface Placed extends Placing {
  partitionMetadata: PartitionerArgs['partitionMetadata'];
}

/** Nobody waits for this producer any more. kafkajs would go on trying, and store old records behind newer ones. */
class DroppedError extends Error {
  readonly code = 'bus-dropped';
  readonly retriable = false;
}

/** A producer, until it is dropped. */
interface Life {
  readonly producer: Promise<Producer>;
  /** Of the call under way, by topic; there is one at a time. */
  readonly placings: Map<string, Placed>;
  isDropped: boolean;
}

export class Sender {
  readonly #parts: KafkaParts;
  readonly #topics: Topics;
  readonly #durability: 'all' | 'leader';
  #life: Life | null = null;

  constructor(of: { parts: KafkaParts; topics: Topics }, durability: 'all' | 'leader') {
    this.#parts = of.parts;
    this.#topics = of.topics;
    this.#durability = durability;
  }

  /** Resolves once brokers have answered for every record. Rejects with kafkajs's errors; some may be stored then. */
  async send(records: readonly BusRecord[]): Promise<void> {
    const life = (this.#life ??= this.#begin()); // to the end: a send that was given up must not go on by the next one
    await this.#topics.ensure(new Set(records.map(({ topic }) => topic)));
    const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0);
    let left = batchOf(records, this.#topics);
    while (left.size > 0) {
      life.placings.clear();
      left = unanswered(left, await this.#call(life, left, bytes), life.placings);
    }
  }

  async #call(life: Life, batch: Batch, bytes: number): Promise<readonly RecordMetadata[]> {
    const producer = await life.producer;
    const { None, ZSTD } = kafkajs.CompressionTypes;
    try {
      return await producer.sendBatch({
        acks: this.#durability === 'all' ? -1 : 1,
        timeout: this.#parts.publishTimeoutMs,
        compression: bytes < COMPRESS_BYTES_MIN ? None : ZSTD,
        topicMessages: [...batch].map(([topic, messages]) => ({ topic, messages: [...messages] })),
      });
    } finally {
      if (life.isDropped) end(life); // it may have connected again meanwhile
    }
  }

  /** Idempotent where every replica must have it: a batch whose answer was lost is then not stored twice by kafkajs's own retry. */
  #begin(): Life {
    const { publishTimeoutMs } = this.#parts;
    const life = { isDropped: false, placings: new Map<string, Placed>() };
    const producer = newKafka(this.#parts, `producer-${this.#durability}`, publishTimeoutMs).producer({
      createPartitioner: () => {
        const choose = kafkajs.Partitioners.DefaultPartitioner();
        return (args) => {
          if (life.isDropped) throw new DroppedError('expected a producer in use, got one that was dropped');
          return place(life.placings, args, choose);
        };
      },
      idempotent: this.#durability === 'all',
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      retry: retriesFor(publishTimeoutMs),
    });
    const connecting = producer.connect().then(() => producer);
    connecting.catch(() => undefined); // told to whoever sends, if anyone comes so far
    return Object.assign(life, { producer: connecting });
  }

  /** After a failure its sequence numbers are in doubt: the next call has a new producer. */
  drop(): void {
    const life = this.#life;
    this.#life = null;
    if (life === null) return;
    life.isDropped = true;
    end(life);
  }

  async close(): Promise<void> {
    const life = this.#life;
    this.#life = null;
    await life?.producer.then((open) => open.disconnect()).catch(() => undefined);
  }
}

function end({ producer }: Life): void {
  producer.then((open) => open.disconnect()).catch(() => undefined);
}

/** Notes where a message goes; of tries that follow each other the last one's partitions count, there may be more of them by then. */
function place(placings: Map<string, Placed>, args: PartitionerArgs, choose: Choose): number {
  const { topic, partitionMetadata } = args;
  const partition = choose(args);
  const known = placings.get(topic);
  if (known !== undefined) {
    known.partitionMetadata = partitionMetadata;
    known.partitions.add(partition);
    return partition;
  }
  const placed: Placed = {
    partitions: new Set([partition]),
    partitionMetadata,
    partitionOf: (message) => choose({ topic, partitionMetadata: placed.partitionMetadata, message }),
  };
  placings.set(topic, placed);
  return partition;
}

/** Those whose partition is not among the answers, in their order. Exported for its test. */
export function unanswered(
  batch: Batch,
  answers: readonly Pick<RecordMetadata, 'topicName' | 'partition'>[],
  placings: ReadonlyMap<string, Placing>,
): Batch {
  const left = new Map<string, readonly Message[]>();
  for (const [topic, messages] of batch) {
    const have = new Set(answers.filter(({ topicName }) => topicName === topic).map(({ partition }) => partition));
    const placing = placings.get(topic);
    if (placing?.partitions.isSubsetOf(have) === true) continue;
    const rest = messages.filter((message) => placing === undefined || !have.has(placing.partitionOf(message)));
    if (rest.length > 0) left.set(topic, rest);
  }
  return left;
}

function batchOf(records: readonly BusRecord[], topics: Topics): Batch {
  const batch = new Map<string, Message[]>();
  for (const record of records) {
    const name = topics.nameOf(record.topic);
    const messages = batch.get(name);
    if (messages === undefined) batch.set(name, [messageOf(record)]);
    else messages.push(messageOf(record));
  }
  return batch;
}

function messageOf({ key, headers, value }: BusRecord): Message {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return { key, headers, value: bytes };
}
