import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LinkPeer } from '../../link/server.ts';
import { startLinkServer } from '../../link/server.ts';
import type { BootId } from '../../protocol/ids.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { RoleLease } from '../../store/port.ts';
import { LINK_KEY, aStore } from '../fixtures.ts';
import { FORWARDS_MAX, RouterPeers } from './router-peers.ts';
import type { Forward } from './router-peers.ts';
import { Stamps } from './stamps.ts';

const OTHER = 'boot-other' as BootId;
const MESSAGE = {
  kind: 'forward-live',
  app: 'shop',
  topic: 'news',
  device: '',
  lane: 'normal',
  record: new Uint8Array(1),
} as unknown as Forward;

const soon = <T>(promise: Promise<T>): Promise<T | 'under way'> =>
  Promise.race([promise, new Promise<'under way'>((resolve) => setImmediate(resolve, 'under way'))]);

test('live messages under way to another router are bounded: one more is not sent, and an answer makes room', async (t) => {
  const { store } = await aStore(t);
  const taken: number[] = [];
  let from: LinkPeer | null = null;
  const other = await startLinkServer({
    bind: '127.0.0.1',
    port: 0,
    keys: () => [LINK_KEY],
    name: 'router-other',
    role: 'router',
    clock: systemClock,
    log: silentLog,
    onFrame(peer, frame) {
      if (frame.kind !== 'forward-live') return;
      from = peer;
      taken.push(frame.seq);
    },
    onClose: () => {},
  });
  t.after(() => other.kill());
  const leaseOf = (name: string, bootId: BootId, port: number): RoleLease => {
    return { role: 'router', name, bootId, linkAddress: `127.0.0.1:${port}` };
  };
  await store.renewRoleLease(leaseOf('router-other', OTHER, other.port), 60_000);
  const peers = new RouterPeers({
    store,
    lease: leaseOf('router-own', 'boot-own' as BootId, 1),
    name: 'router-own',
    keys: () => [LINK_KEY],
    clock: systemClock,
    log: silentLog,
    random: () => 0.5,
    stamps: new Stamps(systemClock),
    onPeers: () => {},
    onStoreFailure: () => {},
  });
  t.after(() => peers.stop('kill'));
  await peers.start();
  while (!peers.canReach(OTHER)) await new Promise(setImmediate);
  const forward = () => peers.forward(OTHER, MESSAGE);
  const forwards = Array.from({ length: FORWARDS_MAX }, forward);
  assert.deepEqual([await soon(forwards.at(-1)!), await soon(forward())], ['under way', null]);
  while (taken.length < FORWARDS_MAX) await new Promise(setImmediate);
  const answer = (seq: number): void => {
    from!.send({ kind: 'forwarded', seq, outcome: 'sent', gateways: 1, bootId: '', stamp: 1 });
  };
  answer(taken[0]!);
  assert.equal((await forwards[0])?.outcome, 'sent');
  const next = forward();
  while (taken.length < FORWARDS_MAX + 1) await new Promise(setImmediate);
  answer(taken.at(-1)!);
  assert.equal((await next)?.outcome, 'sent');
  assert.equal(taken.length, FORWARDS_MAX + 1, 'the one past the limit was never sent');
  other.kill();
  assert.equal(await forwards[1], null, 'the link fell');
});
