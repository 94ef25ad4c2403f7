import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startDrainer } from '../drainer/role.ts';
import { aStoreThatFails } from '../gateway/failing-store.ts';
import { World } from '../gateway/fixtures.ts';
import type { TestGateway, TestRouter } from '../gateway/fixtures.ts';
import { until } from '../gateway/test-client.ts';
import type { TestClient } from '../gateway/test-client.ts';
import type { Lane } from '../protocol/streams.ts';
import { silentLog } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import { drainerSettings } from '../settings/drainer.ts';
import { parseSettings } from '../settings/setting.ts';
import { withOperation } from '../store/with-operation.ts';

const CLIENTS = 200;
const LANES: readonly Lane[] = ['low', 'high', 'normal'];
const PER_LANE = 3;
const ENTRIES_PER_SECOND = 500;
const STEP_MS = 50;

let world: World;
let gateway: TestGateway;
let router: TestRouter;
let drainer: RunningRole;
/** Entries that the store was read for, of whatever stream. */
let entriesRead = 0;

before(async () => {
  world = new World();
  const counting = aStoreThatFails(world.store);
  const store = withOperation(counting.store, {
    async read(reads) {
      const outcomes = await world.store.read(reads);
      for (const { entries } of outcomes) entriesRead += entries.length;
      return outcomes;
    },
  });
  gateway = await world.gateway({ backlogThreshold: 5, acceptsPerSecond: 2000 }, { store });
  router = await gateway.router();
  const env = {
    PUSHCLUSTER_CLUSTER: 'demo',
    PUSHCLUSTER_STORE: 'sqlite::memory:',
    PUSHCLUSTER_KEYS_DIR: 'unused',
    PUSHCLUSTER_DRAINER_NAME: 'drainer-0',
  };
  const settings = { ...parseSettings(drainerSettings, env, () => ''), bind: '127.0.0.1', adminPort: 0 };
  const { keys, clock } = world;
  drainer = await startDrainer(
    { ...settings, entriesPerSecond: ENTRIES_PER_SECOND },
    { store, keys, clock, log: silentLog, random: () => 0.5 },
  );
});
after(async () => {
  drainer.kill();
  await world.end();
});

const bodiesOf = (client: TestClient): string[] =>
  client.frames.flatMap((frame) => (frame.type === 'message' ? [String(frame.body)] : []));
const backlogOf = (client: TestClient): string[] => bodiesOf(client).filter((body) => !body.startsWith('live'));

test('hundreds return at once: the budget is kept, lanes come in order, and live messages do not wait for any of it', async () => {
  const watcher = await gateway.connect({ token: await world.device('watcher') });
  await world.pass(600);
  assert.equal((await gateway.state()).drainers, 1);
  const tokens: string[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    tokens.push(await world.device(`d${i}`, { account: `account-${i}` }));
    for (const lane of LANES) for (let n = 1; n <= PER_LANE; n++) await world.appendTo(`d${i}`, `${lane} ${n}`, lane);
  }
  entriesRead = 0;
  const startedMs = world.clock.nowMs();
  const connecting = tokens.map((token) => gateway.connect({ token }));
  const clients: TestClient[] = [];
  void Promise.all(connecting).then((all) => clients.push(...all));
  const total = CLIENTS * LANES.length * PER_LANE;
  let live = 0;
  let fed = 0;
  for (let step = 0; fed < total && step < 1000; step++) {
    const sent = `live ${++live}`;
    await router.toTopic('$all', { record: world.record(sent).record }, live);
    // No time passes between a live message and its arrival, whatever the backlogs do.
    await until(`${sent} came`, () => bodiesOf(watcher).at(-1) === sent);
    await world.pass(STEP_MS);
    const seconds = (world.clock.nowMs() - startedMs) / 1000;
    // The burst, and the pages under way of which nobody knows beforehand what they hold.
    assert.ok(entriesRead <= ENTRIES_PER_SECOND * (seconds + 0.25) + 64 * PER_LANE, `${entriesRead} in ${seconds} s`);
    fed = clients.reduce((sum, client) => sum + backlogOf(client).length, 0);
  }
  const seconds = (world.clock.nowMs() - startedMs) / 1000;
  assert.equal(fed, total);
  assert.ok(seconds >= total / ENTRIES_PER_SECOND - 0.5, `all in ${seconds} s is more than the budget`);
  assert.ok(seconds <= (total / ENTRIES_PER_SECOND) * 2, `${seconds} s`);
  const inOrder = ['high', 'normal', 'low'].flatMap((lane) => [1, 2, 3].map((n) => `${lane} ${n}`));
  for (const client of clients) assert.deepEqual(backlogOf(client), inOrder);
  assert.equal((await gateway.state()).backlogs, 0);
});
