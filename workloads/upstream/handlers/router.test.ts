// The handlers that go through a router, over a real link to a server that answers as a router does.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { startLinkServer } from '../../link/server.ts';
import type { BootId } from '../../protocol/ids.ts';
import type { Command } from '../../protocol/link.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { RoleLease } from '../../store/port.ts';
import { nameOfMessage } from '../claims.ts';
import { aMessage, keys, LINK_KEY } from '../fixtures.ts';
import { RouterLink } from '../router-link.ts';
import { openEcho } from './echo.ts';
import { openGroupChat } from './group-chat.ts';
import { HandlerUnavailableError } from './handler.ts';

type Answer = { readonly status: number; readonly body: unknown } | null;

async function aRouter(t: TestContext, answer: (command: Command) => Answer) {
  const asked: Command[] = [];
  const server = await startLinkServer({
    bind: '127.0.0.1',
    port: 0,
    keys: () => [LINK_KEY],
    name: 'router-1',
    role: 'router',
    clock: systemClock,
    log: silentLog,
    onFrame(peer, frame) {
      if (frame.kind !== 'command') return;
      asked.push(frame);
      const given = answer(frame);
      if (given === null) return;
      peer.send({ kind: 'reply', seq: frame.seq, status: given.status, body: Buffer.from(JSON.stringify(given.body)) });
    },
    onClose: () => {},
  });
  t.after(() => server.kill());
  const lease: RoleLease = {
    role: 'router',
    name: 'router-1',
    bootId: 'boot-1' as BootId,
    linkAddress: `127.0.0.1:${server.port}`,
  };
  return { asked, server, lease };
}

function aLink(t: TestContext, leases: readonly RoleLease[]): RouterLink {
  const link = new RouterLink({
    store: { roleLeases: () => Promise.resolve(leases) },
    keys: () => keys.current().link,
    name: 'upstream-1',
    timeoutMs: 500,
    clock: systemClock,
    log: silentLog,
    random: () => 0,
  });
  t.after(() => link.stop());
  return link;
}

const jsonOf = (command: Command | undefined): unknown => JSON.parse(Buffer.from(command!.body).toString());

describe('handlers that go through a router', () => {
  test('echo pushes the body back to its device, under the message’s own key', async (t) => {
    const router = await aRouter(t, () => ({ status: 202, body: { id: 'x', state: 'stored', duplicate: false } }));
    const echo = openEcho(aLink(t, [router.lease]), 4);
    const message = aMessage({ body: { hello: 1 } });
    assert.deepEqual(await echo.handle([message]), [{ kind: 'handled' }]);
    const { op, app, account, device } = router.asked[0]!;
    assert.deepEqual({ op, app, account, device }, { op: 'push', app: 'shop', account: '', device: '' });
    assert.deepEqual(jsonOf(router.asked[0]), {
      target: { device: 'd' },
      body: { hello: 1 },
      attributes: { type: 'echo', fields: { kind: 'order', key: 'k1' } },
      idempotencyKey: nameOfMessage(message),
    });
  });

  test('a push that the router had before is a duplicate', async (t) => {
    const router = await aRouter(t, () => ({ status: 202, body: { duplicate: true } }));
    assert.deepEqual(await openEcho(aLink(t, [router.lease]), 4).handle([aMessage()]), [{ kind: 'duplicate' }]);
  });

  test('group-chat sends in the name of the device, to the group that the message names', async (t) => {
    const router = await aRouter(t, () => ({ status: 202, body: {} }));
    const chat = openGroupChat(aLink(t, [router.lease]), 4);
    const message = aMessage({ body: { group: 'friends', body: 'hi' } });
    assert.deepEqual(await chat.handle([message]), [{ kind: 'handled' }]);
    const { op, app, account, device } = router.asked[0]!;
    assert.deepEqual({ op, app, account, device }, { op: 'send', app: 'shop', account: 'ann', device: 'd' });
    assert.deepEqual(jsonOf(router.asked[0]), { key: nameOfMessage(message), to: { group: 'friends' }, body: 'hi' });
  });

  test('a chat that names no group is rejected', async (t) => {
    const chat = openGroupChat(aLink(t, []), 4);
    for (const body of [null, 'hi', { group: 1, body: 'hi' }, { group: 'friends' }])
      assert.equal((await chat.handle([aMessage({ body })]))[0]!.kind, 'rejected');
  });

  for (const [status, error, outcome] of [
    [403, { code: 'forbidden', message: 'no member' }, { kind: 'rejected', reason: 'router: 403 forbidden no member' }],
    [
      429,
      { code: 'rate-limited', message: 'slow', retryAfterMs: 40 },
      { kind: 'unavailable', reason: 'router: 429 rate-limited slow', retryAfterMs: 40 },
    ],
    [500, { code: 'internal', message: 'bug' }, { kind: 'failed', reason: 'router: 500 internal bug' }],
  ] as const)
    test(`an answer of ${status} is ${outcome.kind}`, async (t) => {
      const router = await aRouter(t, () => ({ status, body: { error } }));
      assert.deepEqual(await openEcho(aLink(t, [router.lease]), 4).handle([aMessage()]), [outcome]);
    });

  test('no router, none that answers and one that falls are not the message’s fault; the next one is asked', async (t) => {
    await assert.rejects(openEcho(aLink(t, []), 4).handle([aMessage()]), HandlerUnavailableError);
    const mute = await aRouter(t, () => null);
    const leases = [mute.lease];
    const echo = openEcho(aLink(t, leases), 4);
    await assert.rejects(echo.handle([aMessage()]), /did not answer in time/);
    const waiting = echo.handle([aMessage()]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    mute.server.kill();
    await assert.rejects(waiting, /fell/);
    const next = await aRouter(t, () => ({ status: 202, body: {} }));
    leases[0] = next.lease;
    assert.deepEqual(await echo.handle([aMessage()]), [{ kind: 'handled' }]);
  });
});
