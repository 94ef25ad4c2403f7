import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { AppDefinition } from '../../../protocol/apps.ts';
import type { AccountId, DeviceId } from '../../../protocol/ids.ts';
import { decodeRecord } from '../../../protocol/record.ts';
import { aDoor, eventually } from '../api-fixtures.ts';
import { SHOP, aDevice, aStore, anApp } from '../../fixtures.ts';
import type { Origin } from '../request-content.ts';

const originOf = (account: string, device: string): Origin => ({
  account: account as AccountId,
  device: device as DeviceId,
});
const ADA = originOf('ada', 'ada-1');
const BOB = originOf('bob', 'bob-1');
const EVE = originOf('eve', 'eve-1');

async function aChat(t: TestContext, clientMessaging: AppDefinition['clientMessaging'] | null = ALL) {
  const { store } = await aStore(t);
  for (const { account, device } of [ADA, BOB, EVE]) await aDevice(store, device, account);
  const app = anApp(clientMessaging === null ? {} : { clientMessaging });
  const door = await aDoor(t, { store, app });
  const waiting = async (device: string) => {
    const stream = { app: SHOP, kind: 'device', device: device as DeviceId, lane: 'normal' } as const;
    const [read] = await store.read([{ stream, after: null, entriesMax: 50 }]);
    return read!.entries.map(({ record }) => {
      const { attributes, body } = decodeRecord(record);
      return {
        from: (JSON.parse(Buffer.from(attributes).toString()) as { from: Origin }).from,
        body: JSON.parse(Buffer.from(body).toString()) as unknown,
      };
    });
  };
  const send = (to: object, key = 'k1', origin = ADA) =>
    door.run('send', { type: 'send', id: 7, key, to, body: { text: 'hi' } }, origin);
  const group = (input: object, origin = ADA) =>
    door.run('group', { type: 'group', id: 8, group: 'friends', ...input }, origin);
  return { store, waiting, send, group, ...door };
}
const ALL = { pointToPoint: true, groups: true, messagesPerSecond: 100 } as const;

describe('a client sends', () => {
  test('to a device and to an account, and the server says who it comes from', async (t) => {
    const { send, waiting } = await aChat(t);
    const one = await send({ device: 'bob-1' });
    assert.deepEqual([one.status, one.body['state']], [202, 'stored']);
    await send({ account: 'bob' }, 'k2');
    assert.deepEqual(await waiting('bob-1'), [
      { from: ADA, body: { text: 'hi' } },
      { from: ADA, body: { text: 'hi' } },
    ]);
  });

  test('once for each key, however often; the same key of another device is another message', async (t) => {
    const { send, waiting } = await aChat(t);
    const ids = [await send({ device: 'bob-1' }), await send({ device: 'bob-1' })].map(({ body }) => body['id']);
    assert.equal(ids[0], ids[1]);
    await send({ device: 'bob-1' }, 'k1', EVE);
    assert.equal((await waiting('bob-1')).length, 2);
  });

  test('to a group it is a member of; its members get it, others get nothing', async (t) => {
    const { send, group, waiting, run } = await aChat(t);
    assert.equal((await group({ op: 'create', members: ['bob'] })).status, 200);
    const { status, body } = await send({ group: 'friends' });
    assert.deepEqual([status, body['state']], [202, 'accepted']);
    await eventually(async () => (await run('message', { id: body['id'] })).body['state'] === 'expanded');
    assert.deepEqual(
      (await waiting('bob-1')).map(({ from }) => from),
      [ADA],
    );
    assert.deepEqual(await waiting('eve-1'), []);
    const stranger = await send({ group: 'friends' }, 'k1', EVE);
    assert.deepEqual([stranger.status, stranger.body.error?.['code']], [403, 'forbidden']);
  });
});

describe('a client makes, joins and leaves groups', () => {
  test('and sees who is in those it is in', async (t) => {
    const { group } = await aChat(t);
    await group({ op: 'create', members: ['bob'] });
    assert.equal((await group({ op: 'members' }, EVE)).status, 403);
    await group({ op: 'join' }, EVE);
    const { body } = await group({ op: 'members' }, EVE);
    assert.deepEqual(body, { group: 'friends', count: 3, members: ['ada', 'bob', 'eve'], next: null });
    assert.deepEqual((await group({ op: 'members', after: 'ada' })).body['members'], ['bob', 'eve']);
    await group({ op: 'leave' }, EVE);
    assert.equal((await group({ op: 'members' }, EVE)).status, 403);
  });

  test('and only who made one deletes it', async (t) => {
    const { group } = await aChat(t);
    await group({ op: 'create', members: ['bob'] });
    assert.equal((await group({ op: 'delete' }, BOB)).status, 403);
    assert.equal((await group({ op: 'delete' })).status, 200);
    assert.equal((await group({ op: 'join' })).body.error?.['code'], 'group-unknown');
  });

  test('and one name is one group', async (t) => {
    const { group } = await aChat(t);
    await group({ op: 'create' });
    assert.equal((await group({ op: 'create' }, BOB)).body.error?.['code'], 'group-exists');
    assert.equal((await group({ op: 'create' })).status, 200);
  });
});

describe('is refused with 403', () => {
  const cases: readonly [title: string, app: AppDefinition['clientMessaging'] | null, op: string, input: object][] = [
    ['where the app lets clients write nothing', null, 'send', { key: 'k', to: { device: 'bob-1' }, body: 1 }],
    [
      'to a device, where only groups are allowed',
      { ...ALL, pointToPoint: false },
      'send',
      { key: 'k', to: { account: 'bob' }, body: 1 },
    ],
    [
      'to a group, where they are not allowed',
      { ...ALL, groups: false },
      'send',
      { key: 'k', to: { group: 'friends' }, body: 1 },
    ],
    ['in groups, where they are not allowed', { ...ALL, groups: false }, 'group', { op: 'create', group: 'friends' }],
    ['what the business may', ALL, 'ledger', {}],
    ['to push', ALL, 'push', { target: { everyone: true }, text: 'x' }],
  ];
  for (const [title, allowed, op, input] of cases)
    test(title, async (t) => {
      const { run } = await aChat(t, allowed);
      const { status, body } = await run(op, input, ADA);
      assert.deepEqual([status, body.error?.['code']], [403, 'forbidden']);
    });
});

test('a device sends at its rate, and is told when it may go on; another device is not held by it', async (t) => {
  const { send } = await aChat(t, { ...ALL, messagesPerSecond: 2 });
  const answers = [];
  for (const key of ['a', 'b', 'c']) answers.push(await send({ device: 'bob-1' }, key));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [202, 202, 429],
  );
  const { error } = answers[2]!.body;
  assert.ok(Number(error?.['retryAfterMs']) > 0 && Number(error?.['retryAfterMs']) <= 500);
  assert.equal((await send({ device: 'bob-1' }, 'd', EVE)).status, 202);
});

test('a client cannot write who it is, nor more than one target', async (t) => {
  const { run, send } = await aChat(t);
  const forged = await run('send', { key: 'k', to: { device: 'bob-1' }, body: 1, attributes: { from: BOB } }, ADA);
  assert.deepEqual([forged.status, forged.body.error?.['field']], [400, 'attributes']);
  assert.equal((await send({ device: 'bob-1', account: 'bob' })).status, 400);
  assert.equal((await send({ topic: 'news' })).status, 400);
  assert.equal((await run('send', { key: 'k', to: { device: 'nobody' }, body: 1 }, ADA)).status, 404);
});
