// Contract of the store port: sessions, generations and routes (R7, R8).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  account,
  anAck,
  anOpenSession,
  APP,
  appendAll,
  appended,
  boot,
  counted,
  device,
  gateway,
  hear,
  lane,
  opened,
  register,
  withStore,
} from './contract-subject.ts';
import type { StoreSubject } from './contract-subject.ts';
import type { LaneHead, SessionCheck, SessionState } from './port.ts';
import type { Epoch } from '../protocol/ids.ts';

export function sessionsContract(subject: StoreSubject): void {
  openContract(subject);
  checkContract(subject);
  routesContract(subject);
}

function openContract(subject: StoreSubject): void {
  test('a session sets the route and raises the generation, and the next tells whom it replaced', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      await register(store, 'd1');
      const first = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual([first.generation, first.lanes, first.topics, first.replaced], [1, [], [], null]);
      const route = (await store.routes(APP, [device('d1')]))[0]!;
      assert.deepEqual(
        { ...route, connectedAtMs: 0 },
        { gateway: 'gw-0', bootId: 'boot-a', generation: 1, account: 'ann', connectedAtMs: 0 },
      );
      assert.ok(Math.abs(route.connectedAtMs - nowMs()) < 5000);
      const second = opened(
        await store.openSession(anOpenSession('d1', { gateway: gateway('gw-1'), bootId: boot('boot-b') })),
      );
      assert.deepEqual([second.generation, second.replaced], [2, route]);
      assert.deepEqual((await store.device(APP, device('d1')))!.generation, 2);
    }));

  test('a session tells the lanes that were written and the subscriptions', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { epoch } = appended((await appendAll(store, lane('d1', 'low'), ['a', 'b']))[0]);
      await store.subscribe(APP, device('d1'), [hear('news')]);
      const session = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual(
        session.lanes.map(({ lane, epoch, head, settled }) => ({ lane, epoch, head, settled })),
        [{ lane: 'low', epoch, head: 2, settled: 0 }],
      );
      assert.deepEqual(session.topics, [{ topic: 'news', epoch: null, offset: 0, filter: null, attempts: 0 }]);
    }));

  test('a ticket opens a session once: with the generation it names', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const ticket = anOpenSession('d1', { expectGeneration: generation });
      const outcomes = await Promise.all([
        store.openSession(ticket),
        store.openSession(ticket),
        store.openSession(ticket),
      ]);
      assert.deepEqual(outcomes.map((o) => o.kind).toSorted(), ['opened', 'ticket-stale', 'ticket-stale']);
      assert.deepEqual(await store.openSession(anOpenSession('d1', { expectGeneration: generation + 2 })), {
        kind: 'ticket-stale',
      });
      assert.equal((await store.device(APP, device('d1')))!.generation, generation + 1);
    }));

  test('sessions of one device at once get generations of their own, and the newest has the route', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.openSession(anOpenSession('d1', { bootId: boot(`boot-${i}`) }))),
      );
      const generations = outcomes.map((o) => opened(o).generation);
      assert.deepEqual(
        generations.toSorted((a, b) => a - b),
        Array.from({ length: 20 }, (_, i) => i + 1),
      );
      const [route] = await store.routes(APP, [device('d1')]);
      assert.equal(route!.bootId, `boot-${generations.indexOf(20)}`);
      assert.deepEqual(await store.countRoutes(), new Map([[route!.bootId, 1]]));
    }));

  test('an unknown device opens nothing', () =>
    withStore(subject, {}, async ({ store }) => {
      assert.deepEqual(await store.openSession(anOpenSession('nobody')), { kind: 'device-unknown' });
      assert.deepEqual(await store.routes(APP, [device('nobody')]), [null]);
      assert.equal(await store.device(APP, device('nobody')), null);
    }));

  test('a closed device: permissions from before are revoked, ones from after must register', () =>
    withStore(subject, {}, async ({ store, advance, nowMs }) => {
      await register(store, 'd1');
      const before = nowMs() - 2000;
      opened(await store.openSession(anOpenSession('d1', { permittedAtMs: before })));
      await appendAll(store, lane('d1'), ['a']);
      assert.equal(await store.closeDevice(APP, device('d1')), true);
      assert.equal(await store.closeDevice(APP, device('d1')), false);
      assert.deepEqual(await store.routes(APP, [device('d1')]), [null]);
      assert.deepEqual((await store.countRoutes()).size, 0);
      assert.deepEqual(await store.heads([lane('d1')]), [{ epoch: null, head: 0 }]);
      assert.deepEqual(await store.openSession(anOpenSession('d1', { permittedAtMs: before })), { kind: 'revoked' });
      await advance(5);
      assert.deepEqual(await store.openSession(anOpenSession('d1', { permittedAtMs: nowMs() + 2000 })), {
        kind: 'device-unknown',
      });
      await register(store, 'd1');
      assert.deepEqual(await store.openSession(anOpenSession('d1', { permittedAtMs: before })), { kind: 'revoked' });
      const wholeSecond = Math.floor(nowMs() / 1000) * 1000;
      const again = opened(await store.openSession(anOpenSession('d1', { permittedAtMs: wholeSecond })));
      assert.ok(again.generation > 1, 'tickets of the closed device stay stale');
      assert.deepEqual(again.lanes, []);
    }));

  test('another account on the device: new streams, no subscriptions, old acks and permissions void', () =>
    withStore(subject, {}, async ({ store, nowMs }) => {
      await register(store, 'd1');
      const old = opened(await store.openSession(anOpenSession('d1')));
      const before = appended((await appendAll(store, lane('d1'), ['for ann']))[0]);
      await store.subscribe(APP, device('d1'), [hear('news')]);
      await register(store, 'd1', { account: 'bob' });
      assert.deepEqual(await store.routes(APP, [device('d1')]), [null]);
      assert.deepEqual((await store.countRoutes()).size, 0);
      assert.deepEqual(await store.openSession(anOpenSession('d1')), { kind: 'revoked' });
      const [after] = await appendAll(store, lane('d1'), ['for bob']);
      assert.equal(appended(after).offset, 1);
      assert.notEqual(appended(after).epoch, before.epoch);
      const ack = anAck('d1', { epoch: appended(after).epoch, offset: 1, generation: old.generation });
      assert.deepEqual(counted(await store.settle([ack])), [false]);
      const late = anOpenSession('d1', { account: account('bob'), permittedAtMs: nowMs() - 2000 });
      assert.deepEqual(await store.openSession(late), { kind: 'revoked' });
      const session = opened(await store.openSession({ ...late, permittedAtMs: nowMs() }));
      assert.ok(session.generation > old.generation);
      assert.deepEqual(session.topics, []);
      assert.deepEqual(
        session.lanes.map((l) => [l.lane, l.head]),
        [['normal', 1]],
      );
    }));
}

/** What gateway gw-0 of life boot-a believes of d1. */
function aCheck(store: { readonly generation: number; readonly heads?: readonly LaneHead[] }): SessionCheck {
  return { app: APP, device: device('d1'), bootId: boot('boot-a'), heads: [], ...store };
}

function checkContract(subject: StoreSubject): void {
  test('a session that is as its gateway believes answers nothing, whatever lanes it has', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      assert.deepEqual(await store.checkSessions([aCheck({ generation })]), [null]);
      const low = appended((await appendAll(store, lane('d1', 'low'), ['a', 'b']))[1]);
      const high = appended((await appendAll(store, lane('d1', 'high'), ['c']))[0]);
      const heads: LaneHead[] = [
        { lane: 'high', epoch: high.epoch, head: 1 },
        { lane: 'low', epoch: low.epoch, head: 2 },
      ];
      assert.deepEqual(await store.checkSessions([aCheck({ generation, heads }), aCheck({ generation, heads })]), [
        null,
        null,
      ]);
    }));

  test('a lane that was written, went on or has another epoch than its gateway heard is told, with all that is so', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const { generation } = opened(await store.openSession(anOpenSession('d1')));
      const { epoch } = appended((await appendAll(store, lane('d1', 'normal'), ['a', 'b']))[0]);
      const route = (await store.routes(APP, [device('d1')]))[0]!;
      const is: SessionState = { route, heads: [{ lane: 'normal', epoch, head: 2 }] };
      const believed: readonly (readonly LaneHead[])[] = [
        [],
        [{ lane: 'normal', epoch, head: 1 }],
        [{ lane: 'normal', epoch, head: 3 }],
        [{ lane: 'normal', epoch: 'another' as Epoch, head: 2 }],
        [{ lane: 'low', epoch, head: 2 }],
        [
          { lane: 'normal', epoch, head: 2 },
          { lane: 'low', epoch, head: 1 },
        ],
      ];
      const answers = await store.checkSessions(believed.map((heads) => aCheck({ generation, heads })));
      assert.deepEqual(
        answers,
        believed.map(() => is),
      );
    }));

  test('a session whose route is gone, of another life or of another generation is told', () =>
    withStore(subject, {}, async ({ store }) => {
      assert.deepEqual(await store.checkSessions([aCheck({ generation: 1 })]), [{ route: null, heads: [] }]);
      await register(store, 'd1');
      assert.deepEqual(await store.checkSessions([aCheck({ generation: 0 })]), [{ route: null, heads: [] }]);
      await store.openSession(anOpenSession('d1'));
      await store.openSession(anOpenSession('d1', { gateway: gateway('gw-1'), bootId: boot('boot-b') }));
      const route = (await store.routes(APP, [device('d1')]))[0]!;
      assert.deepEqual([route.generation, route.bootId], [2, 'boot-b']);
      const checks = [
        aCheck({ generation: 1 }),
        aCheck({ generation: 2 }),
        { ...aCheck({ generation: 1 }), bootId: boot('boot-b') },
        { ...aCheck({ generation: 2 }), bootId: boot('boot-b') },
      ];
      const told = { route, heads: [] };
      assert.deepEqual(await store.checkSessions(checks), [told, told, told, null]);
      await store.closeSessions([{ app: APP, device: device('d1'), generation: 2, bootId: boot('boot-b') }]);
      assert.deepEqual(await store.checkSessions(checks.slice(3)), [{ route: null, heads: [] }]);
    }));
}

function routesContract(subject: StoreSubject): void {
  test('R7: closing removes the route only of the same life and generation', () =>
    withStore(subject, {}, async ({ store }) => {
      await register(store, 'd1');
      const old = opened(await store.openSession(anOpenSession('d1')));
      const { generation } = opened(
        await store.openSession(anOpenSession('d1', { gateway: gateway('gw-1'), bootId: boot('boot-b') })),
      );
      const close = { app: APP, device: device('d1'), generation, bootId: boot('boot-b') };
      const wrong = [
        { ...close, generation: old.generation, bootId: boot('boot-a') },
        { ...close, bootId: boot('boot-a') },
        { ...close, generation: old.generation },
        { ...close, device: device('nobody') },
      ];
      assert.deepEqual(await store.closeSessions(wrong), [false, false, false, false]);
      assert.equal((await store.routes(APP, [device('d1')]))[0]!.bootId, 'boot-b');
      assert.deepEqual(await store.closeSessions([close, close]), [true, false]);
      assert.deepEqual(await store.routes(APP, [device('d1')]), [null]);
      assert.equal((await store.device(APP, device('d1')))!.generation, generation);
    }));

  test('R7: the counts of routes equal the routes, through opens, moves and closes', () =>
    withStore(subject, {}, async ({ store }) => {
      const names = Array.from({ length: 60 }, (_, i) => `d${i}`);
      await Promise.all(names.map((name) => register(store, name, { account: `a-${name}` })));
      const open = (name: string, i: number) =>
        store.openSession(
          anOpenSession(name, {
            account: account(`a-${name}`),
            gateway: gateway(`gw-${i % 3}`),
            bootId: boot(`boot-${i % 3}`),
          }),
        );
      await Promise.all(names.map(open));
      const moved = await Promise.all(names.slice(0, 20).map((name, i) => open(name, i + 1)));
      await store.closeSessions(
        moved.slice(0, 7).map((outcome, i) => ({
          app: APP,
          device: device(names[i]!),
          generation: opened(outcome).generation,
          bootId: boot(`boot-${(i + 1) % 3}`),
        })),
      );
      const expected = new Map<string, number>();
      for (const route of await store.routes(APP, names.map(device))) {
        if (route !== null) expected.set(route.bootId, (expected.get(route.bootId) ?? 0) + 1);
      }
      assert.deepEqual(await store.countRoutes(), expected);
      assert.equal(
        [...expected.values()].reduce((a, b) => a + b, 0),
        53,
      );
    }));
}
