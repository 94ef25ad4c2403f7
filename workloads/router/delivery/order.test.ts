import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { startLinkServer } from '../../link/server.ts';
import type { BootId } from '../../protocol/ids.ts';
import type { DeliverDevice, DeliverTopic } from '../../protocol/link.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Store } from '../../store/port.ts';
import { LINK_KEY, aDevice, aGateway, aRouter, aStore } from '../fixtures.ts';

type Router = Awaited<ReturnType<typeof aRouter>>;

/** Routers that know each other, each with a clock that is off by so many ms. */
async function routersOf(t: TestContext, store: Store, clocksOffMs: readonly number[]): Promise<Router[]> {
  const routers: Router[] = [];
  for (const offMs of clocksOffMs) routers.push(await aRouterOff(t, store, offMs));
  for (const router of routers) {
    await router.linked(1);
    await until(router, 'pushcluster_router_peers_up', clocksOffMs.length - 1);
  }
  return routers;
}
function aRouterOff(t: TestContext, store: Store, offMs: number): Promise<Router> {
  return aRouter(t, {
    store,
    clock: { ...systemClock, nowMs: () => Date.now() + offMs },
    settings: { linkHost: '127.0.0.1', linkPort: 0 },
  });
}
async function until(router: Router, line: string, value: number): Promise<void> {
  while ((await router.metric(line)) !== value) await new Promise(setImmediate);
}
const textOf = (frame: DeliverDevice | DeliverTopic): string => Buffer.from(decodeRecord(frame.record).body).toString();
function assertInOrder(heard: readonly (DeliverDevice | DeliverTopic)[], texts: readonly string[]): void {
  assert.deepEqual(heard.map(textOf), texts);
  heard.forEach(({ stamp }, i) => assert.ok(i === 0 || stamp > heard[i - 1]!.stamp, `stamp of ${i}`));
}

describe('R11: live messages of one stream', () => {
  test('have rising stamps whichever router takes them, also when the clocks of routers differ', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    await gateway.connect(await aDevice(store, 'phone-1'));
    const routers = await routersOf(t, store, [0, -800, 900]);
    const texts = Array.from({ length: 60 }, (_, i) => `t-${i}`);
    for (const [i, text] of texts.entries()) {
      const { status, body } = await routers[i % 3]!.push({ target: { topic: 'news' }, text, class: 'live' });
      assert.deepEqual([status, body['gateways']], [202, 1]);
    }
    await gateway.heardCount(60);
    assertInOrder(gateway.heard, texts);
    for (const [i, text] of texts.entries()) {
      const { status, body } = await routers[i % 3]!.push({ target: { device: 'phone-1' }, text, class: 'live' });
      assert.deepEqual([status, body['state'], body['online']], [202, 'sent', 1]);
    }
    await gateway.heardCount(120);
    assertInOrder(gateway.heard.slice(60), texts);
    const forwarded = await Promise.all(routers.map((r) => r.metric('pushcluster_router_live_forwarded_total')));
    assert.equal(
      forwarded.reduce((sum, n) => sum + n),
      80,
      'two of three routers hand each stream on',
    );
  });

  test('keep their order when a router comes, leaves, or dies with a clock that is ahead', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    const routers = await routersOf(t, store, [0, 700, -300]);
    const texts: string[] = [];
    const topics = ['news', 'chat.1', 'chat.2', 'chat.3', 'chat.4', 'chat.5'];
    const publish = async (rounds: number, by: readonly Router[]): Promise<void> => {
      for (let round = 0; round < rounds; round++)
        for (const topic of topics) {
          const text = `${topic} ${texts.length}`;
          texts.push(text);
          const { status } = await by[texts.length % by.length]!.push({ target: { topic }, text, class: 'live' });
          assert.equal(status, 202);
        }
    };
    await publish(5, routers);
    routers[1]!.role.kill();
    const alive = [routers[0]!, routers[2]!];
    for (const router of alive) await until(router, 'pushcluster_router_peers_up', 1);
    await publish(5, alive);
    const joined = await aRouterOff(t, store, -5000);
    await joined.linked(1);
    await until(joined, 'pushcluster_router_peers_up', 2);
    await publish(5, [...alive, joined]);
    await routers[0]!.role.stop();
    await until(joined, 'pushcluster_router_peers', 2);
    await publish(5, [routers[2]!, joined]);
    await gateway.heardCount(texts.length);
    for (const topic of topics)
      assertInOrder(
        gateway.heard.filter((frame) => frame.kind === 'deliver-topic' && frame.topic === topic),
        texts.filter((text) => text.startsWith(`${topic} `)),
      );
  });

  test('pass from one router to the gateways directly: nothing is forwarded where there is one', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    const [router] = await routersOf(t, store, [0]);
    for (let i = 0; i < 5; i++) await router!.push({ target: { topic: 'news' }, text: `${i}`, class: 'live' });
    await gateway.heardCount(5);
    assert.equal(await router!.metric('pushcluster_router_live_forwarded_total'), 0);
  });

  test('go on while the store is away: the routers known stay', async (t) => {
    const { store, failing } = await aStore(t);
    const gateway = await aGateway(t, store);
    const routers = await routersOf(t, store, [0, 0]);
    for (const operation of ['roleLeases', 'renewRoleLease', 'routes', 'leases'] as const)
      failing.set(operation, 'before');
    const texts = Array.from({ length: 10 }, (_, i) => `t-${i}`);
    for (const [i, text] of texts.entries())
      assert.equal((await routers[i % 2]!.push({ target: { topic: 'news' }, text, class: 'live' })).status, 202);
    await gateway.heardCount(10);
    assertInOrder(gateway.heard, texts);
    const { status, body } = await routers[0]!.push({ target: { device: 'anyone' }, text: 'hi', class: 'live' });
    assert.deepEqual([status, body['state'], body['online']], [202, 'sent', undefined]);
  });

  test('that were handed to a router which then dies are answered 503: whether they were sent is unknown', async (t) => {
    const { store } = await aStore(t);
    const gateway = await aGateway(t, store);
    const lone = await aRouterOff(t, store, 0);
    await lone.linked(1);
    // Another router that takes live messages and never answers.
    let forwarded = 0;
    const mute = await startLinkServer({
      bind: '127.0.0.1',
      port: 0,
      keys: () => [LINK_KEY],
      name: 'router-mute',
      role: 'router',
      clock: systemClock,
      log: silentLog,
      onFrame: (_, frame) => void (forwarded += frame.kind === 'forward-live' ? 1 : 0),
      onClose: () => {},
    });
    t.after(() => mute.kill());
    const linkAddress = `127.0.0.1:${mute.port}`;
    await store.renewRoleLease({ role: 'router', name: 'router-mute', bootId: 'mute' as BootId, linkAddress }, 60_000);
    await until(lone, 'pushcluster_router_peers_up', 1);
    const answers = Array.from({ length: 40 }, (_, i) =>
      lone.push({ target: { topic: `chat.${i}` }, text: 'x', class: 'live' }),
    );
    while (forwarded === 0 || gateway.heard.length + forwarded < 40) await new Promise(setImmediate);
    mute.kill();
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 503).length, forwarded);
    assert.equal(statuses.filter((status) => status === 202).length, 40 - forwarded);
    const { status } = await lone.push({ target: { topic: 'chat.1' }, text: 'x', class: 'live' });
    assert.equal(status, 202, 'a router that cannot be reached is passed over');
  });
});
