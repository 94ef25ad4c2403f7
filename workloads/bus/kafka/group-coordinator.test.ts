// A group whose coordinator goes, without brokers: who is asked, and what comes of it.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { followed, isElsewhere } from './group-coordinator.ts';

type Group = ThisParameterType<ReturnType<typeof followed>>;

class Named extends Error {
  readonly type: string | undefined;
  constructor(name: string, type?: string) {
    super(name);
    this.name = name;
    this.type = type;
  }
}
/** A coordinator, and how a heartbeat to it ends. */
interface Broker {
  readonly name: string;
  readonly problem: Error | null;
  isConnected(): boolean;
}
function aBroker(name: string, problem: Error | null = null): Broker {
  return { name, problem, isConnected: () => problem === null };
}

describe('heartbeats of a group', () => {
  let said: string[];
  let now: Broker;
  let group: Group;
  const beat = followed(function (this: Group): Promise<void> {
    const { name, problem } = this.coordinator as Broker;
    said.push(`heartbeat to ${name}`);
    return problem === null ? Promise.resolve() : Promise.reject(problem);
  });

  function aGroup(coordinator: Broker): Group {
    const cluster = {
      refreshMetadata: () => Promise.resolve(),
      findGroupCoordinator: ({ groupId }: { groupId: string }) => {
        said.push(`who has ${groupId}`);
        return Promise.resolve(now);
      },
    };
    const getCoordinator = (): Promise<Broker> => Promise.resolve(coordinator);
    const offsetManager = { cluster, groupId: 'g', coordinator, getCoordinator };
    return { cluster, groupId: 'g', coordinator, offsetManager, heartbeat: beat };
  }
  const at = (): unknown[] => [group.coordinator, group.offsetManager?.coordinator].map((one) => (one as Broker).name);

  beforeEach(() => {
    said = [];
    now = aBroker('two');
  });

  test('go to who follows a coordinator that is gone, and commits do too', async () => {
    group = aGroup(aBroker('one', new Named('KafkaJSConnectionError')));
    await beat.call(group, { interval: 0 });
    assert.deepEqual(said, ['heartbeat to one', 'who has g', 'heartbeat to two']);
    assert.deepEqual(at(), ['two', 'two']);
  });

  test('fail while nobody has taken the group over, and ask again the next time', async () => {
    now = aBroker('one', new Named('KafkaJSConnectionError'));
    group = aGroup(now);
    await assert.rejects(beat.call(group, { interval: 0 }), { name: 'KafkaJSConnectionError' });
    now = aBroker('two');
    await beat.call(group, { interval: 0 });
    assert.deepEqual(said.slice(-3), ['heartbeat to one', 'who has g', 'heartbeat to two']);
  });

  test('of several at once ask once', async () => {
    group = aGroup(aBroker('one', new Named('KafkaJSConnectionClosedError')));
    await Promise.all([beat.call(group, { interval: 0 }), beat.call(group, { interval: 0 })]);
    assert.equal(said.filter((line) => line === 'who has g').length, 1);
  });

  test('that a coordinator answers with a refusal stay where they are', async () => {
    group = aGroup(aBroker('one', new Named('KafkaJSProtocolError', 'UNKNOWN_MEMBER_ID')));
    await assert.rejects(beat.call(group, { interval: 0 }), { type: 'UNKNOWN_MEMBER_ID' });
    assert.deepEqual(said, ['heartbeat to one']);
  });
});

for (const [name, type, expected] of [
  ['KafkaJSConnectionError', undefined, true],
  ['KafkaJSConnectionClosedError', undefined, true],
  ['KafkaJSRequestTimeoutError', undefined, true],
  ['KafkaJSProtocolError', 'NOT_COORDINATOR_FOR_GROUP', true],
  ['KafkaJSProtocolError', 'REBALANCE_IN_PROGRESS', false],
  ['Error', undefined, false],
] as const)
  test(`${type ?? name}: the coordinator is ${expected ? 'elsewhere' : 'the same'}`, () =>
    assert.equal(isElsewhere(new Named(name, type)), expected));
