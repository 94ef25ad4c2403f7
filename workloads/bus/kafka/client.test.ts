// Which of kafkajs's errors another try may mend, and how many brokers a try reaches.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import kafkajs from 'kafkajs';
import { isPassing, retriesFor } from './client.ts';
import { leastInSync } from './topics.ts';

const connection = new kafkajs.KafkaJSConnectionError('connect ECONNREFUSED', {});
const of = (type: string, retriable: boolean): Error => Object.assign(new Error(type), { type, retriable });
const exceeded = new kafkajs.KafkaJSNumberOfRetriesExceeded(connection, { retryCount: 1, retryTime: 1 });

for (const [what, error, expected] of [
  ['a broker that does not answer', connection, true],
  ['a broker that was tried often enough', exceeded, true],
  ['a leader that moved', of('NOT_LEADER_FOR_PARTITION', true), true],
  ['a producer whose numbers are in doubt', of('OUT_OF_ORDER_SEQUENCE_NUMBER', false), true],
  ['a right that is missing', of('TOPIC_AUTHORIZATION_FAILED', false), false],
  ['a wrong password', of('SASL_AUTHENTICATION_FAILED', false), false],
  ['a record that is too large', of('MESSAGE_TOO_LARGE', false), false],
  ['what is no error of Kafka', new Error('ours'), false],
] as const)
  test(`${what}: ${expected ? 'may do better the next time' : 'stays so'}`, () =>
    assert.equal(isPassing(error), expected));

test('each of the brokers named is tried, however short the patience', () => {
  assert.equal(retriesFor(0, 5).retries, 5);
  assert.equal(retriesFor(10_000, 3).retries, 21);
});

test('half of the replicas, rounded up, have what counts as kept; of hints one; none is named where the brokers say', () => {
  const least = (topic: string): unknown[] => [0, 1, 2, 3, 4, 5].map((replication) => leastInSync(topic, replication));
  assert.deepEqual(least('pushcluster.upstream'), [null, 1, 1, 2, 2, 3]);
  assert.deepEqual(least('pushcluster.broadcast'), [1, 1, 1, 1, 1, 1]);
});
