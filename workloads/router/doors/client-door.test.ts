import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountId, AppId, DeviceId } from '../../protocol/ids.ts';
import type { Command } from '../../protocol/link.ts';
import { aDevice, aGateway, aRouter, aStore, aWatchedText, anApp, appsText } from '../fixtures.ts';

test('a client’s message comes in on the link to its gateway, is stored, and is answered there; strangers are refused', async (t) => {
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1', 'ada');
  await aDevice(store, 'phone-2', 'bob');
  const gateway = await aGateway(t, store);
  const allowed = anApp({ clientMessaging: { pointToPoint: true, groups: true, messagesPerSecond: 100 } });
  const { linked } = await aRouter(t, { store, apps: aWatchedText(appsText([allowed])) });
  await linked(1);
  const ask = (over: Partial<Command>): void => {
    const body = Buffer.from(JSON.stringify({ type: 'send', id: 1, key: 'k', to: { device: 'phone-2' }, body: 'hi' }));
    const from = { app: 'shop' as AppId, account: 'ada' as AccountId, device: 'phone-1' as DeviceId };
    gateway.server.peers()[0]!.send({ kind: 'command', seq: 1, op: 'send', body, ...from, ...over });
  };
  const said = async (count: number): Promise<readonly [number, number][]> => {
    while (gateway.replies.length < count) await new Promise(setImmediate);
    return gateway.replies.map(({ seq, status }) => [seq, status]);
  };
  ask({ seq: 11 });
  await said(1);
  ask({ seq: 12, app: 'other' as AppId });
  await said(2);
  ask({ seq: 13, account: '' });
  await said(3);
  ask({ seq: 14, op: 'ledger' });
  assert.deepEqual(await said(4), [
    [11, 202],
    [12, 404],
    [13, 400],
    [14, 403],
  ]);
  const [head] = await store.heads([
    { app: 'shop' as AppId, kind: 'device', device: 'phone-2' as DeviceId, lane: 'normal' },
  ]);
  assert.equal(head!.head, 1);
});
