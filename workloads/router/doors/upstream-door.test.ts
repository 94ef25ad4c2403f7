import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLink } from '../../link/client.ts';
import type { AccountId, AppId, DeviceId } from '../../protocol/ids.ts';
import type { Command, Reply } from '../../protocol/link.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { LINK_KEY, aDevice, aRouter, aStore, aWatchedText, anApp, appsText } from '../fixtures.ts';

test('the upstream role pushes in the name of an app and sends in the name of a device; nothing else', async (t) => {
  const { store } = await aStore(t);
  await aDevice(store, 'phone-1', 'ada');
  await aDevice(store, 'phone-2', 'bob');
  const allowed = anApp({ clientMessaging: { pointToPoint: true, groups: true, messagesPerSecond: 100 } });
  await aRouter(t, {
    store,
    apps: aWatchedText(appsText([allowed])),
    settings: { linkHost: '127.0.0.1', linkPort: 0 },
  });
  const [lease] = await store.roleLeases('router');
  const replies: Reply[] = [];
  const up = Promise.withResolvers<void>();
  const link = openLink({
    address: lease!.linkAddress,
    keys: () => [LINK_KEY],
    name: 'upstream-1',
    role: 'upstream',
    clock: systemClock,
    log: silentLog,
    onUp: () => up.resolve(),
    onFrame: (frame) => {
      if (frame.kind === 'reply') replies.push({ ...frame, body: Buffer.from(frame.body) });
    },
    onDown: () => {},
  });
  t.after(() => link.kill());
  await up.promise;
  const app = 'shop' as AppId;
  const client = { account: 'ada' as AccountId, device: 'phone-1' as DeviceId };
  const nobody = { account: '', device: '' } as const;
  const ask = async (command: Omit<Command, 'kind' | 'seq' | 'body'>, body: unknown): Promise<number> => {
    const seq = replies.length + 1;
    link.send({ kind: 'command', seq, ...command, body: Buffer.from(JSON.stringify(body)) });
    while (replies.length < seq) await new Promise(setImmediate);
    return replies[seq - 1]!.status;
  };
  const push = { target: { device: 'phone-1' }, body: 'back', idempotencyKey: 'k' };
  assert.equal(await ask({ op: 'push', app, ...nobody }, push), 202);
  assert.equal(await ask({ op: 'push', app, ...nobody }, push), 202, 'the same once more, stored once');
  assert.equal(await ask({ op: 'send', app, ...client }, { key: 'k', to: { device: 'phone-2' }, body: 'hi' }), 202);
  assert.equal(await ask({ op: 'ledger', app, ...nobody }, {}), 403);
  assert.equal(await ask({ op: 'push', app, ...client }, push), 403);
  assert.equal(await ask({ op: 'push', app: 'other' as AppId, ...nobody }, push), 404);
  const heads = await store.heads(
    ['phone-1', 'phone-2'].map(
      (device) => ({ app, kind: 'device', device: device as DeviceId, lane: 'normal' }) as const,
    ),
  );
  assert.deepEqual(
    heads.map(({ head }) => head),
    [1, 1],
  );
});
