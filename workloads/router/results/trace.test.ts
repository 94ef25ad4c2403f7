import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceId, GatewayName, MessageId } from '../../protocol/ids.ts';
import { MESSAGES_SHOWN_MAX } from './waiting.ts';
import { SHOP, aDeadLetter, aDevice, aGateway, aRouter, aStore } from '../fixtures.ts';

interface Traced {
  readonly event: string;
  readonly device?: string;
  readonly gateway?: string;
  readonly at: string;
}

test('the trace of a message has what the store keeps and what gateways saw, in order of time; silent gateways are named', async (t) => {
  const { store } = await aStore(t);
  const device = await aDevice(store, 'phone-1');
  await aDevice(store, 'tablet-1');
  const gateways = [await aGateway(t, store, { name: 'gw-0' }), await aGateway(t, store, { name: 'gw-1' })];
  await gateways[0]!.connect(device);
  const { push, ask, linked } = await aRouter(t, { store });
  await linked(2);
  const id = (await push({ target: { account: 'ada' }, text: 'x' })).body['id'] as MessageId;
  const questions: unknown[] = [];
  gateways[0]!.reply = ({ op, body }) => {
    questions.push([op, JSON.parse(Buffer.from(body).toString())]);
    const events = [
      {
        atMs: Date.now(),
        event: 'written',
        app: SHOP,
        device,
        stream: '@normal',
        epoch: 'e',
        offset: 1,
        messageId: id,
        attempt: 1,
      },
    ];
    return { status: 200, body: Buffer.from(JSON.stringify({ gateway: 'gw-0', bootId: 'b', events })) };
  };
  gateways[1]!.reply = () => ({ status: 404, body: Buffer.from('{}') });
  await store.settleEntries([
    {
      app: SHOP,
      device,
      lane: 'normal',
      entry: { messageId: id },
      state: 'acked',
      generation: null,
      gateway: 'gw-0' as GatewayName,
    },
  ]);
  const { status, body } = await ask(`/v1/messages/${id}/trace`);
  assert.equal(status, 200);
  assert.deepEqual(questions, [['trace', { messageId: id }]]);
  assert.deepEqual(body['silent'], ['gw-1']);
  const events = body['events'] as Traced[];
  assert.equal(events[0]?.event, 'accepted');
  const of = (name: string) => events.filter((event) => event.device === name).map((event) => event.event);
  assert.deepEqual(of('phone-1').toSorted(), ['appended', 'ended-acked', 'written']);
  assert.deepEqual(of('tablet-1'), ['appended']);
  assert.equal(events.find(({ event }) => event === 'ended-acked')?.gateway, 'gw-0');
  assert.ok(events.every(({ at }, i) => i === 0 || events[i - 1]!.at <= at));
  const one = await ask(`/v1/messages/${id}/trace?device=tablet-1`);
  assert.deepEqual(
    (one.body['events'] as Traced[]).map(({ event }) => event),
    ['accepted', 'appended'],
  );
});

test('the trace of a dead delivery has its reason; that of a device what waits, what died, where it is', async (t) => {
  const { store } = await aStore(t);
  const device = await aDevice(store, 'phone-1');
  const gateway = await aGateway(t, store);
  await gateway.connect(device);
  const questions: string[] = [];
  gateway.reply = ({ body }) => {
    questions.push(Buffer.from(body).toString());
    return { status: 200, body: Buffer.from(JSON.stringify({ events: [] })) };
  };
  const { push, ask, linked } = await aRouter(t, { store });
  await linked(1);
  const letter = await aDeadLetter(store, 'phone-1');
  await push({ target: { device }, text: 'x' });
  const { body } = await ask('/v1/devices/phone-1/trace');
  const events = body['events'] as (Traced & { detail?: string; messageId?: string })[];
  assert.deepEqual(events.map(({ event }) => event).toSorted(), ['dead-letter', 'route', 'waiting']);
  const dead = events.find(({ event }) => event === 'dead-letter');
  assert.deepEqual([dead?.detail, dead?.messageId], ['attempts', letter.messageId]);
  assert.deepEqual(questions, [JSON.stringify({ device })]);
  assert.deepEqual((await ask('/v1/devices/nobody/trace')).body['events'], []);
});

test('what waits for a device is counted lane by lane, with the first messages of each', async (t) => {
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1');
  const { push, ask } = await aRouter(t, { store });
  const message = { target: { device: 'phone-1' as DeviceId }, text: 'x' };
  await push({ messages: Array.from({ length: 700 }, () => message) });
  await push({ ...message, lane: 'high' });
  const { body } = await ask('/v1/devices/phone-1/waiting');
  assert.equal(body['waiting'], 701);
  const lanes = body['lanes'] as { stream: string; waiting: number; head: number; messages: { offset: number }[] }[];
  assert.deepEqual(
    lanes.map(({ stream, waiting, head, messages }) => [stream, waiting, head, messages.length, messages[0]?.offset]),
    [
      ['@high', 1, 1, 1, 1],
      ['@normal', 700, 700, MESSAGES_SHOWN_MAX, 1],
      ['@low', 0, 0, 0, undefined],
    ],
  );
});
