// The fleet against a whole cluster in one process, over the real wire: devices that nack, crash, choke, hear by filters, fetch bodies, pull,
// and write to each other, compared record by record. Small numbers; scenarios on the real cluster use the same parts with large ones.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, describe, test } from 'node:test';
import { isReady, openEmbedded } from '../../workloads/embedded/embedded.ts';
import type { Embedded } from '../../workloads/embedded/embedded.ts';
import { until } from '../../workloads/embedded/crowd.ts';
import { readManifest } from '../../workloads/embedded/manifest.ts';
import { systemClock } from '../../workloads/runtime/clock.ts';
import { silentLog } from '../../workloads/runtime/log.ts';
import { isReady as isFleetReady } from './spawned.ts';
import { startFleet } from './clients.ts';
import type { Fleet, FleetOptions } from './clients.ts';
import { passes } from './compare.ts';
import type { Comparison, Dead } from './compare.ts';
import { compareUpstream, readUpstreamLog } from './compare-upstream.ts';
import type { HandledUpstream } from './compare-upstream.ts';
import { startPublisher } from './publish.ts';
import type { PublishOptions } from './publish.ts';
import { compareLogs } from './report.ts';

const MANIFEST = `
apiVersion: pushcluster.io/v1alpha1
kind: PushCluster
metadata: {name: demo}
spec:
  image: unused
  gateway: {replicas: 2}
  registry: {replicas: 1}
  router: {replicas: 1}
  disruption: {reconnectsPerSecond: 50, drainDeadline: 60s}
  bus: {kafka: {brokers: ["stands-for.the-bus-in-memory:9092"]}}
  upstream: {handlers: [{kinds: ["order"], type: database}]}
---
apiVersion: pushcluster.io/v1alpha1
kind: PushApp
metadata: {name: shop}
spec:
  clusterRef: {name: demo}
  allowedTopics: ["news"]
  clientMessaging: {pointToPoint: true, groups: true, messagesPerSecond: 1000}
`;
const ENV = { PUSHCLUSTER_ACK_TIMEOUT_MS: '1000', PUSHCLUSTER_STOP_GRACE_MS: '500' };
const DEVICES = 12;
const PATIENCE_MS = 30_000;

/** One fleet, its publishers' logs, and the reckoning. */
class World {
  readonly #embedded: Embedded;
  readonly folder = mkdtempSync(join(tmpdir(), 'fleet-'));
  readonly prefix: string;
  readonly publishers: string[] = [];
  fleet!: Fleet;
  #number = 0;

  constructor(embedded: Embedded, prefix: string) {
    this.#embedded = embedded;
    this.prefix = `${prefix}-`;
  }
  get devices() {
    return { prefix: this.prefix, first: 0, count: DEVICES };
  }
  async start(more: Partial<FleetOptions> = {}): Promise<Fleet> {
    this.fleet = await startFleet({
      registryUrl: (await this.#embedded.status())?.registryAddress ?? '',
      app: 'shop',
      privateJwk: this.#embedded.access.signer.privateJwk,
      topics: [],
      logs: join(this.folder, 'logs'),
      ...this.devices,
      ...more,
    });
    await until('every client is live', () => isFleetReady(this.fleet.counts()), PATIENCE_MS);
    return this.fleet;
  }
  logFile(): string {
    const file = join(this.folder, `published-${++this.#number}.jsonl`);
    this.publishers.push(file);
    return file;
  }
  async publish(options: Pick<PublishOptions, 'targets' | 'count'> & Partial<PublishOptions>): Promise<void> {
    const url = (await this.#embedded.status())?.routerAddress ?? '';
    const { apiKey } = this.#embedded.access;
    const base = { url, apiKey, rate: 400, log: this.logFile(), keyPrefix: `${this.prefix}${this.#number}` };
    const publisher = startPublisher({ ...base, ...options });
    await publisher.done;
    const { accepted, lastProblem } = publisher.counts();
    assert.equal(accepted, options.count, lastProblem ?? '');
  }
  async compared(owed: number, more: Partial<Parameters<typeof compareLogs>[0]> = {}): Promise<Comparison> {
    await until(`${owed} are dealt with`, () => this.fleet.counts().received >= owed, PATIENCE_MS).catch(() => {}); // what is missing is named below
    this.fleet.flush();
    return compareLogs({ clients: join(this.folder, 'logs'), publishers: this.publishers, ...more });
  }
  async end(): Promise<void> {
    await this.fleet.stop();
    rmSync(this.folder, { recursive: true });
  }
}

function assertExact(compared: Comparison, owed: number): void {
  const { lost, doubled, outOfOrder, strangers } = compared;
  assert.deepEqual(
    { owed: compared.owed, lost: lost.slice(0, 5), doubled: doubled.slice(0, 5), outOfOrder, strangers },
    { owed, lost: [], doubled: [], outOfOrder: 0, strangers: 0 },
  );
}

describe('a fleet against a whole cluster', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'fleet-cluster-'));
  let embedded: Embedded;
  before(async () => {
    embedded = await openEmbedded({
      manifest: readManifest(MANIFEST),
      dataDir,
      portBase: 0,
      clock: systemClock,
      log: silentLog,
      activeMs: 50,
      env: ENV,
    });
    await until('the cluster is Ready', async () => isReady(await embedded.status()), PATIENCE_MS);
  });
  after(async () => {
    await embedded.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  let world: World | null = null;
  afterEach(async () => {
    await world?.end();
    world = null;
  });

  test('whose applications nack a third of the messages twice deals with each once and in order', async () => {
    world = new World(embedded, 'nack');
    const fleet = await world.start({ topics: ['news'], behaviour: { nack: { share: 0.33, deliveries: 2 } } });
    await world.publish({ targets: [{ devices: world.devices }], count: 120 });
    await world.publish({ targets: [{ topic: 'news' }], count: 10 });
    assertExact(await world.compared(240), 240);
    assert.ok(fleet.counts().counters.nacks > 20, `${fleet.counts().counters.nacks} nacks`);
  });

  test('that crashes again and again loses and doubles nothing', async () => {
    world = new World(embedded, 'crash');
    const fleet = await world.start({
      topics: ['news'],
      behaviour: { crashEveryMs: 700, crashedMs: 100, workMs: 10 },
    });
    await world.publish({ targets: [{ devices: world.devices }], count: 240, rate: 120 });
    await world.publish({ targets: [{ topic: 'news' }], count: 10 });
    assertExact(await world.compared(360), 360);
    assert.ok(fleet.counts().crashes >= DEVICES, `${fleet.counts().crashes} crashes`);
  });

  for (const poison of ['nack', 'dead', 'person', 'crash'] as const)
    test(`that answers poison with ${poison} has it dead-lettered, and gets the rest`, async () => {
      const one = (world = new World(embedded, `poison-${poison}`));
      await one.start({ behaviour: { poison, crashedMs: 50 } });
      await one.publish({
        targets: [{ devices: one.devices }],
        count: 60,
        poisonEvery: 10,
        message: { deliver: { attemptsMax: 2 } },
      });
      await until('six dead letters', async () => (await deadLetters(embedded, one.prefix)).length === 6, PATIENCE_MS);
      const dead = await deadLetters(embedded, one.prefix);
      assert.deepEqual(new Set(dead.map(({ state }) => state)), new Set([poison === 'person' ? 'held' : 'dead']));
      const compared = await one.compared(54, { dead });
      assertExact(compared, 60);
      assert.deepEqual([compared.delivered, compared.dead, compared.deadThoughDelivered], [54, 6, 0]);
    });

  test('that subscribes with a filter is given what passes, and nothing else', async () => {
    world = new World(embedded, 'filter');
    const filter = { levelMin: 3, fields: { region: ['eu'] } };
    await world.start({ topics: [{ topic: 'news', filter }] });
    const attributes = [
      { level: 5, fields: { region: 'eu' } },
      { level: 1, fields: { region: 'eu' } },
      { level: 5, fields: { region: 'us' } },
    ];
    await world.publish({ targets: [{ topic: 'news' }], count: 30, message: { attributes } });
    const wants = (_: string, message: { attributes?: object }): boolean => passes(filter, message.attributes);
    assertExact(await world.compared(10 * DEVICES, { audience: { wants } }), 10 * DEVICES);
  });

  test('that is given ids only fetches each body before its application sees the message', async () => {
    world = new World(embedded, 'idonly');
    const fleet = await world.start({ topics: ['news'] });
    const message = { deliver: { idOnly: true } };
    await world.publish({ targets: [{ devices: world.devices }], count: 60, message });
    await world.publish({ targets: [{ topic: 'news' }], count: 5, message });
    assertExact(await world.compared(120), 120);
    assert.deepEqual([fleet.counts().errors, fleet.counts().counters.bodiesGone], [0, 0]);
  });

  test('that pulls what it missed gets all of it', async () => {
    world = new World(embedded, 'pull');
    const options = { client: { offline: 'pull' }, pullMax: 7 } as const;
    const fleet = await world.start(options);
    fleet.crash(DEVICES);
    await world.publish({ targets: [{ devices: world.devices }], count: 240 });
    assertExact(await world.compared(240), 240);
  });

  test('that settles messages one by one loses and doubles nothing, slow, nacking and cut', async () => {
    world = new World(embedded, 'each');
    const behaviour = { workMs: 40, nack: { share: 0.1, deliveries: 1 } };
    const fleet = await world.start({ client: { acks: 'each', atOnceMax: 8 }, behaviour });
    const cutting = setInterval(() => fleet.cut(DEVICES), 400);
    await world.publish({ targets: [{ devices: world.devices }], count: 240, rate: 150 });
    clearInterval(cutting);
    const { lost, doubled, strangers } = await world.compared(240);
    assert.deepEqual({ lost, doubled, strangers }, { lost: [], doubled: [], strangers: 0 });
  });

  test('that is written to as a list and as a group gets each message once on every device', async () => {
    world = new World(embedded, 'list');
    const fleet = await world.start();
    await fleet.group('create', 'list-group', 1);
    await fleet.group('join', 'list-group');
    assert.equal((await fleet.members('list-group')).count, DEVICES);
    await world.publish({ targets: [{ list: world.devices }], count: 5 });
    await world.publish({ targets: [{ group: 'list-group', list: world.devices }], count: 5 });
    assertExact(await world.compared(10 * DEVICES), 10 * DEVICES);
  });

  test('whose devices write to each other and to their group while gateways die gets each message once', async () => {
    world = new World(embedded, 'talk');
    const fleet = await world.start();
    await fleet.group('create', 'talk-group', 1);
    await fleet.group('join', 'talk-group');
    const base = { rate: 100, keyPrefix: 'talk' };
    const talks = [
      fleet.send({ ...base, count: 200, log: world.logFile(), keyPrefix: 'talk-d', to: { devices: world.devices } }),
      fleet.send({
        ...base,
        count: 20,
        rate: 10,
        log: world.logFile(),
        keyPrefix: 'talk-g',
        to: { group: 'talk-group', devices: world.devices },
      }),
    ];
    embedded.kill('demo-gateway-0');
    for (const { failed, lastProblem } of await Promise.all(talks)) assert.equal(failed, 0, lastProblem ?? '');
    assertExact(await world.compared(200 + 20 * DEVICES), 200 + 20 * DEVICES);
  });

  test('whose devices tell their business while gateways die and devices crash: each message is stored once, in order', async () => {
    world = new World(embedded, 'upstream');
    const fleet = await world.start({ behaviour: { crashedMs: 100 } });
    const log = join(world.folder, 'upstream.jsonl');
    const saying = fleet.upstream({ kind: 'order', count: 300, rate: 150, log, keyPrefix: 'up', orders: 2 });
    embedded.kill('demo-gateway-1');
    setTimeout(() => fleet.crash(3), 500);
    const { taken, failed } = await saying;
    assert.ok(taken + failed === 300 && taken > 200, `${taken} taken, ${failed} failed`);
    const stored = (): readonly HandledUpstream[] => storedIn(join(dataDir, 'upstream.sqlite'));
    await until(
      'what was taken is stored',
      () => compareUpstream(readUpstreamLog(log), stored()).lost.length === 0,
      PATIENCE_MS,
    );
    const { doubled, outOfOrder, strangers } = compareUpstream(readUpstreamLog(log), stored());
    assert.deepEqual({ doubled, outOfOrder, strangers }, { doubled: [], outOfOrder: 0, strangers: 0 });
  });
});

/** What the database handler stored, in its order. */
function storedIn(path: string): readonly HandledUpstream[] {
  const db = new DatabaseSync(path, { readOnly: true });
  const rows = db.prepare('SELECT body FROM pushcluster_upstream ORDER BY seq').all();
  db.close();
  return rows.map(({ body }) => JSON.parse(String(body)) as HandledUpstream);
}

async function deadLetters(
  embedded: Embedded,
  prefix: string,
): Promise<readonly (Dead & { readonly state: string })[]> {
  const url = (await embedded.status())?.routerAddress ?? '';
  const headers = { authorization: `Bearer ${embedded.access.apiKey}` };
  const page = await fetch(`${url}/v1/dead-letters?limit=500`, { headers });
  const { letters } = (await page.json()) as { letters: (Dead & { state: string })[] };
  return letters.filter(({ device }) => device.startsWith(prefix));
}
