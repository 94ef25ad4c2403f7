// What kafkajs answers when a partition moves in the middle of a call, and what is sent again of it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import type { Message, RecordMetadata } from 'kafkajs';
import { unanswered } from './sender.ts';
import type { Batch, Placing } from './sender.ts';

const TOPIC = 't';
const MESSAGES: readonly Message[] = [0, 1, 0, 1].map((partition, i) => ({ key: `${partition}`, value: `${i}` }));
const BATCH: Batch = new Map([[TOPIC, MESSAGES]]);
const partitionOf = ({ key }: Message): number => Number(key);
const placedIn = (...partitions: readonly number[]): ReadonlyMap<string, Placing> =>
  new Map([[TOPIC, { partitions: new Set(partitions), partitionOf }]]);
const valuesOf = (batch: Batch): unknown[] => [...batch].flatMap(([, rows]) => rows.map(({ value }) => value));
const answersFor = (...partitions: readonly number[]) =>
  partitions.map((partition) => ({ topicName: TOPIC, partition }));

describe('what no broker has answered for', () => {
  test('is nothing when every partition is among the answers', () => {
    assert.deepEqual(unanswered(BATCH, answersFor(0, 1), placedIn(0, 1)), new Map());
  });

  test('is the whole partition, in its order', () => {
    assert.deepEqual(valuesOf(unanswered(BATCH, answersFor(0), placedIn(0, 1))), ['1', '3']);
  });

  test('is told by topic as well', () => {
    const others = [0, 1].map((partition) => ({ topicName: 'u', partition }));
    assert.deepEqual(valuesOf(unanswered(BATCH, others, placedIn(0, 1))), ['0', '1', '2', '3']);
  });

  test('is nothing of a partition that was chosen while there were fewer', () => {
    assert.deepEqual(unanswered(BATCH, answersFor(0, 1), placedIn(0, 1, 2)), new Map());
  });
});

type SendMessages = (of: Readonly<Record<string, unknown>>) => (batch: unknown) => Promise<RecordMetadata[]>;

/** A cluster of two brokers as kafkajs sees it: 2 dies when it is asked, and its partition goes to 1, which has answered by then. */
function aMovingCluster(stored: string[]) {
  const leaders = [1, 2];
  const broker = (nodeId: number) => ({
    nodeId,
    produce: ({
      topicData,
    }: {
      topicData: { partitions: { partition: number; messages: { value: string }[] }[] }[];
    }) => {
      if (nodeId === 2) {
        leaders[1] = 1;
        return Promise.reject(Object.assign(new Error('gone'), { name: 'KafkaJSConnectionError', retriable: true }));
      }
      const { partitions } = topicData[0]!;
      for (const { messages } of partitions) stored.push(...messages.map(({ value }) => value));
      return Promise.resolve({
        topics: [{ topicName: TOPIC, partitions: partitions.map(({ partition }) => ({ partition })) }],
      });
    },
  });
  const brokers = [broker(1), broker(2)];
  const done = (): Promise<void> => Promise.resolve();
  return {
    refreshMetadata: done,
    refreshMetadataIfNecessary: done,
    addMultipleTargetTopics: done,
    isConnected: () => true,
    findTopicPartitionMetadata: () => [0, 1].map((partitionId) => ({ partitionId, leader: leaders[partitionId] })),
    findLeaderForPartitions: (_: string, partitions: readonly string[]) =>
      Object.groupBy(partitions.map(Number), (partition) => `${leaders[partition]}`),
    findBroker: ({ nodeId }: { nodeId: string }) => Promise.resolve(brokers[Number(nodeId) - 1]),
  };
}

test('kafkajs leaves out a partition that moved to a broker that had answered, and what it answers tells', async () => {
  const require = createRequire(import.meta.url);
  const sendMessages = require('kafkajs/src/producer/sendMessages') as SendMessages;
  const createRetry = require('kafkajs/src/retry') as (of: unknown) => unknown;
  const quiet = (): void => {};
  const nothing = { isTransactional: () => false, getSequence: () => 0, updateSequence: quiet };
  const ids = { getProducerId: () => 1, getProducerEpoch: () => 0 };
  const stored: string[] = [];
  const send = sendMessages({
    logger: { error: quiet, debug: quiet },
    cluster: aMovingCluster(stored),
    partitioner: ({ message }: { message: Message }) => partitionOf(message),
    eosManager: { ...nothing, ...ids, acquireBrokerLock: quiet, releaseBrokerLock: quiet },
    retrier: createRetry({ initialRetryTime: 1, retries: 3 }),
  });
  const call = (batch: Batch) => ({
    acks: -1,
    topicMessages: [...batch].map(([topic, messages]) => ({ topic, messages })),
  });
  const left = unanswered(BATCH, await send(call(BATCH)), placedIn(0, 1));
  assert.deepEqual(stored, ['0', '2'], 'it said that it had sent all four');
  assert.deepEqual(unanswered(left, await send(call(left)), placedIn(1)), new Map());
  assert.deepEqual(stored, ['0', '2', '1', '3']);
});
