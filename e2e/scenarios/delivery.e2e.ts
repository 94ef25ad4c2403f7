// "Messages that matter": every kind of push on a real cluster, and where each delivery ended: lists, groups, schedules, cancels, dead letters
// and what is done with them, filters, messages between clients, webhooks, a fleet that comes back to a backlog, and the ledger that adds up.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { deviceName, deviceNames } from '../fleet/names.ts';
import { readReceivedLogs } from '../fleet/received-log.ts';
import { assertLedgerExact, businessOf, startWebhookReceiver } from '../world/business.ts';
import type { Business, WebhookReceiver } from '../world/business.ts';
import { waitFor } from '../cluster/wait.ts';
import { explained } from '../world/diagnosis.ts';
import { measured } from '../world/measured.ts';
import { podsOf } from '../world/push-cluster.ts';
import { metricOfRole } from '../world/role-metrics.ts';
import { startOneFleet } from '../world/one-fleet.ts';
import type { OneFleet } from '../world/one-fleet.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';

const name = 'delivery';
const namespace = `e2e-${name}`;
const ONLINE = 300;
const AWAY = 100;
/** Names of the long list: five spans of 10,000. */
const LONG = 50_000;
const online = { prefix: 'on-', first: 0, count: ONLINE };
const away = { prefix: 'away-', first: 0, count: AWAY };

interface Letters {
  readonly letters: readonly { readonly id: string; readonly device: string; readonly messageId: string }[];
}

describe('messages that matter', { timeout: 300_000 }, () => {
  let stage: Stage;
  let business: Business;
  let webhook: WebhookReceiver;
  let fleet: OneFleet;

  before(async () => {
    webhook = await startWebhookReceiver(() => stage.routerUrl);
    await explained(namespace, async () => {
      stage = await openStage({
        name,
        gateways: 2,
        spec: { webhooks: { allowPrivateAddresses: true }, router: { replicas: 2 } },
        app: {
          webhook: { url: webhook.url, events: ['dead-letter', 'waiting'] },
          clientMessaging: { pointToPoint: true, groups: true, messagesPerSecond: 100 },
        },
      });
      business = businessOf(stage);
      // These register, and are away from then on.
      const passing = await startOneFleet(stage, { ...away, topics: [] });
      await passing.stop();
      fleet = await startOneFleet(stage, {
        ...online,
        topics: ['all-of-it', { topic: 'important', filter: { levelMin: 5 } }],
        behaviour: { nack: { share: 0.2, deliveries: 1 }, poison: 'person' },
      });
    });
  });
  after(async () => {
    await webhook?.close();
    await stage?.close();
  });

  /** Ids that each device's application has dealt with, in order. */
  const received = async (): Promise<ReadonlyMap<string, readonly string[]>> => {
    await fleet.flush();
    return new Map([...readReceivedLogs(fleet.logs)].map(([device, lines]) => [device, lines.map((line) => line.id)]));
  };
  const whenAllHave = async (ids: readonly string[], devices: readonly string[]): Promise<void> => {
    const look = async (): Promise<true> => {
      const logs = await received();
      const missing = devices.filter((device) => !ids.every((id) => logs.get(device)?.includes(id) === true));
      if (missing.length === 0) return true;
      throw new Error(`${missing.length} of ${devices.length} miss something, ${missing[0]} for one`);
    };
    await waitFor(`${ids.length} messages with ${devices.length} devices`, look, {
      timeoutMs: 60_000,
      intervalMs: 250,
    });
  };

  it('a list of 400: 300 online ones ack it, nacked ones after another try; 100 wait, and the business is told', async () => {
    await explained(namespace, async () => {
      const devices = [...deviceNames(online), ...deviceNames(away)];
      const startedMs = performance.now();
      const id = await business.push({ target: { devices }, body: { text: 'x'.repeat(500) } });
      const acceptedMs = performance.now() - startedMs;
      await business.whenDelivered(id, { acked: ONLINE, waiting: AWAY });
      const page = await business.call<{ deliveries: { device: string; state: string; gateway: string | null }[] }>(
        'GET',
        `/v1/messages/${id}/deliveries?limit=400`,
      );
      assert.equal(page.deliveries.length, 400);
      assert.ok(page.deliveries.every(({ state, gateway }) => state !== 'acked' || gateway !== null));
      await waitFor(
        'the business to be told of each device that is away',
        () =>
          Promise.resolve(
            webhook.told.filter(({ event, messageId }) => event === 'waiting' && messageId === id).length >= AWAY,
          ),
        { timeoutMs: 60_000, intervalMs: 200 },
      );
      assert.equal(webhook.unsigned(), 0);
      measured('a list of 400', { 'accepted, ms': acceptedMs, 'webhook posts': webhook.posts() });
    });
  });

  it('a list of 50,000 is expanded by both routers, and each device that there is has it once', async () => {
    await explained(namespace, async () => {
      const names = Array.from({ length: LONG }, (_, i) => `stranger-${i}`);
      const every = Math.floor(LONG / ONLINE);
      deviceNames(online).forEach((device, i) => (names[i * every] = device));
      const pods = await podsOf(stage, 'router');
      const { port } = new URL(stage.routerUrl);
      const atPod = pods.map((pod) => businessOf({ app: stage.app, routerUrl: `http://${pod.status.podIP}:${port}` }));
      const startedMs = performance.now();
      const id = await atPod[0]!.push({ target: { devices: names }, body: { text: 'for everyone we ever heard of' } });
      const acceptedMs = performance.now() - startedMs;
      await atPod[1]!.push({ target: { devices: [away.prefix] }, body: 'which has it look for jobs at once' });
      await business.whenDelivered(id, { acked: ONLINE, unknown: LONG - ONLINE });
      const { state, expansion } = await business.call('GET', `/v1/messages/${id}`);
      assert.deepEqual([state, expansion], ['expanded', { chunks: 100, done: 100 }]);
      const logs = await received();
      for (const device of deviceNames(online))
        assert.equal(logs.get(device)?.filter((of) => of === id).length, 1, `${device} dealt with it once`);
      const shares = await Promise.all(
        pods.map((pod) => metricOfRole(pod, 'pushcluster_router_expanded_recipients_total', '"unknown"')),
      );
      assert.ok(Math.min(...shares) > LONG / 10, `the routers expanded ${shares.join(' and ')} names`);
      measured('a list of 50,000 by two routers', {
        'accepted, ms': acceptedMs,
        'shares, names': shares.join(' and '),
      });
    });
  });

  it('a schedule is kept, a cancel ends what has not ended, an account is one device’s ack', async () => {
    await explained(namespace, async () => {
      const device = deviceName(0, 'on-');
      const later = await business.push({ target: { device }, delayMs: 3000, body: 'later' });
      const never = await business.push({ target: { device }, delayMs: 60_000, body: 'never' });
      const whom = deviceNames({ ...away, count: 10 });
      const lost = await business.push({ target: { devices: whom }, body: 'cancelled' });
      await business.whenDelivered(lost, { waiting: 10 });
      await business.call('DELETE', `/v1/messages/${never}`);
      await business.call('DELETE', `/v1/messages/${lost}`);
      await business.whenDelivered(lost, { cancelled: 10, waiting: 0 });
      const again = await business.call<{ cancelled: number }>('DELETE', `/v1/messages/${lost}`);
      assert.equal(again.cancelled, 0, 'a second cancel finds nothing left');
      assert.ok(!(await received()).get(device)?.includes(later));
      await whenAllHave([later], [device]);
      const any = await business.push({ target: { account: 'acc-on-000001', satisfiedBy: 'any' }, body: 'any' });
      await whenAllHave([any], [deviceName(1, 'on-')]);
    });
  });

  it('poison becomes dead letters for a person, told to the business; drop, release and redrive do what they say', async () => {
    await explained(namespace, async () => {
      const targets = [2, 3, 4].map((i) => deviceName(i, 'on-'));
      const ids: string[] = [];
      for (const device of targets) ids.push(await business.push({ target: { device }, body: { poison: true } }));
      const letters = await waitFor(
        'three dead letters',
        async () => {
          const found = await business.call<Letters>('GET', '/v1/dead-letters?state=held');
          const ours = found.letters.filter(({ messageId }) => ids.includes(messageId));
          if (ours.length === 3) return ours;
          throw new Error(`${ours.length} so far`);
        },
        { timeoutMs: 30_000, intervalMs: 300 },
      );
      const act = (action: string, of: number): Promise<unknown> =>
        business.call('POST', '/v1/dead-letters/actions', { action, ids: [letters[of]!.id] });
      await act('drop', 0);
      await act('release', 1);
      await act('redrive', 2); // is poison still: comes back as another letter
      await waitFor(
        'the re-driven one to be a letter again',
        async () => {
          const { letters: now } = await business.call<Letters>('GET', '/v1/dead-letters');
          const devices = now.map(({ device }) => device).toSorted();
          return devices.length === 2 && !now.some(({ messageId }) => messageId === letters[2]!.messageId);
        },
        { timeoutMs: 30_000, intervalMs: 300 },
      );
      await waitFor(
        'the business to be told of each letter',
        () => Promise.resolve(webhook.told.filter(({ event }) => event === 'dead-letter').length >= 4),
        { timeoutMs: 30_000, intervalMs: 200 },
      );
    });
  });

  it('filters pass what they name, counted; a group and clients write to clients', async () => {
    await explained(namespace, async () => {
      const wanted: string[] = [];
      const others: string[] = [];
      for (let level = 0; level < 10; level++) {
        const id = await business.push({ target: { topic: 'important' }, attributes: { level }, body: { level } });
        (level >= 5 ? wanted : others).push(id);
      }
      await whenAllHave(wanted, deviceNames(online));
      const members = Array.from({ length: 50 }, (_, i) => `acc-on-${String(i).padStart(6, '0')}`);
      await business.call('PUT', '/v1/groups/readers', { owner: members[0], members });
      const grouped = await business.push({ target: { group: 'readers' }, body: { hello: 'group' } });
      await business.whenDelivered(grouped, { acked: 50 });
      const said = await fleet.send({
        to: { devices: { ...online, count: 20 } },
        rate: 50,
        count: 100,
        keyPrefix: 'talk',
        log: `${fleet.logs}/talk.jsonl`,
      });
      assert.equal(said.taken, 100, said.lastProblem ?? '');
      const logs = await received();
      assert.ok(
        [...logs.values()].every((ids) => !others.some((id) => ids.includes(id))),
        'nobody got what it filtered',
      );
    });
  });

  it('who was away comes back and gets what waited, in order; a message can be traced; the ledger is exact', async () => {
    await explained(namespace, async () => {
      const ids: string[] = [];
      for (let i = 0; i < 60; i++)
        ids.push(await business.push({ target: { devices: deviceNames(away) }, body: { i } }));
      const last = ids.at(-1)!;
      await business.whenDelivered(last, { waiting: AWAY });
      const backAtMs = performance.now();
      const back = await startOneFleet(stage, { ...away, topics: [], logs: fleet.logs });
      await business.whenDelivered(last, { acked: AWAY }, 60_000);
      const seconds = (performance.now() - backAtMs) / 1000;
      await back.flush();
      for (const [device, lines] of readReceivedLogs(fleet.logs)) {
        if (!device.startsWith('away-')) continue;
        const mine = lines.filter((line) => ids.includes(line.id));
        assert.deepEqual(mine.map(({ id }) => id).toSorted(), ids.toSorted(), `${device} got all that waited, once`);
        // In the order of its stream: routers expand lists side by side, so it need not be that of their acceptance.
        const offsets = mine.map(({ offset }) => offset ?? 0);
        assert.deepEqual(
          offsets,
          offsets.toSorted((a, b) => a - b),
          `${device} got it in order`,
        );
      }
      const device = deviceName(0, 'away-');
      const trace = await business.call<{ events: { event: string; gateway?: string }[] }>(
        'GET',
        `/v1/messages/${last}/trace?device=${device}`,
      );
      const events = trace.events.map(({ event }) => event);
      for (const wanted of ['accepted', 'written', 'ended-acked'])
        assert.ok(events.includes(wanted), `${wanted} in ${events.join(', ')}`);
      await back.stop();
      await fleet.stop();
      const ledger = await assertLedgerExact(business);
      const { recounted: _agrees, untracked: _apart, ...lines } = ledger;
      measured('deliveries in the end', { ...lines, 'backlog of 100 devices drained in, s': seconds });
    });
  });
});
