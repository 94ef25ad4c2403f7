// The SQLite store: the contract, and what only it has: files that are locked, broken or newer, kills, a commit for each tick.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { MIGRATIONS } from './schema.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { SqliteStore } from './sqlite-store.ts';
import { storeContract } from '../contract.ts';
import { anAppend, appendAll, appended, lane, register, texts, topic } from '../contract-subject.ts';
import type { StoreUnderTest } from '../contract-subject.ts';
import type { AppId, DeviceId, MessageId, TopicName } from '../../protocol/ids.ts';
import { aManualClock, systemClock } from '../../runtime/clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'pushcluster-sqlite-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const aFile = (): string => join(folder, `store-${files++}.sqlite`);

storeContract({
  name: 'sqlite',
  skip: null,
  hooks: ['crash', 'checkpoint'],
  open(limits = {}) {
    const path = aFile();
    const clock = aManualClock();
    let store = openSqliteStore({ path, clock, limits });
    const under: StoreUnderTest = {
      get store(): SqliteStore {
        return store;
      },
      advance: (ms) => Promise.resolve(clock.advance(ms)),
      nowMs: () => clock.nowMs(),
      crash() {
        store.cut();
        store = openSqliteStore({ path, clock, limits });
        return Promise.resolve();
      },
      async checkpoint() {
        await store.close();
        copyFileSync(path, `${path}.backup`);
        store = openSqliteStore({ path, clock, limits });
      },
      async fallBack() {
        await store.close();
        copyFileSync(`${path}.backup`, path);
        store = openSqliteStore({ path, clock, limits, newLife: true });
      },
      close: () => store.close(),
    };
    return Promise.resolve(under);
  },
});

test('operations of one tick share one commit, and an operation that fails takes no other with it', async () => {
  const store = openSqliteStore({ path: ':memory:', clock: systemClock });
  const bad = { ...anAppend(topic('t'), 'x'), expiresAtMs: 'soon' as never, record: {} as never };
  const outcomes = await Promise.allSettled([
    appendAll(store, topic('t'), ['a']),
    store.append([bad]),
    appendAll(store, topic('t'), ['b']),
  ]);
  assert.deepEqual(
    outcomes.map((o) => o.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(texts((await store.read([{ stream: topic('t'), after: null, entriesMax: 9 }]))[0]!.entries), [
    'a',
    'b',
  ]);
  await store.close();
});

test('a second opener of a file is told that it is locked', async () => {
  const path = aFile();
  const store = openSqliteStore({ path, clock: systemClock });
  assert.throws(() => openSqliteStore({ path, clock: systemClock }), { code: 'store-file-locked' });
  await store.close();
  await openSqliteStore({ path, clock: systemClock }).close();
});

test('a file that is no database, one of a newer release and a folder that is not there have their own errors', () => {
  const noDatabase = aFile();
  writeFileSync(noDatabase, 'this is a text, and not a database at all'.repeat(100));
  assert.throws(() => openSqliteStore({ path: noDatabase, clock: systemClock }), { code: 'store-file-corrupt' });
  const newer = aFile();
  const db = new DatabaseSync(newer);
  db.exec('PRAGMA user_version = 9999');
  db.close();
  assert.throws(() => openSqliteStore({ path: newer, clock: systemClock }), { code: 'store-file-newer' });
  assert.throws(() => openSqliteStore({ path: join(folder, 'no', 'such'), clock: systemClock }), {
    code: 'store-file-unusable',
  });
});

const WRITER = `
  import { openSqliteStore } from ${JSON.stringify(new URL('sqlite-store.ts', import.meta.url).href)};
  import { anAppend, lane, register } from ${JSON.stringify(new URL('../contract-subject.ts', import.meta.url).href)};
  import { systemClock } from ${JSON.stringify(new URL('../../runtime/clock.ts', import.meta.url).href)};
  const store = openSqliteStore({ path: process.argv[1], clock: systemClock });
  await register(store, 'd1');
  for (let i = 1; i < 900; i++) {
    const [outcome] = await store.append([anAppend(lane('d1'), String(i))]);
    process.stdout.write(outcome.epoch + ' ' + outcome.offset + '\\n');
  }
`;

test('a process killed while it appends has lost nothing that it was told', async () => {
  const path = aFile();
  const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    told += chunk;
    if (told.split('\n').length > 50) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.once('close', resolve));
  const [epoch, offset] = told
    .trim()
    .split('\n')
    .findLast((line) => /^\S+ \d+$/.test(line))!
    .split(' ');
  const store = openSqliteStore({ path, clock: systemClock });
  const [head] = await store.heads([lane('d1')]);
  assert.ok(head!.head >= Number(offset), `head ${head!.head}, told ${offset}`);
  assert.equal(head!.epoch, epoch);
  const [read] = await store.read([{ stream: lane('d1'), after: null, entriesMax: 500 }]);
  assert.deepEqual(
    texts(read!.entries),
    Array.from({ length: read!.entries.length }, (_, i) => `${i + 1}`),
  );
  const next = appended((await appendAll(store, lane('d1'), ['next']))[0]);
  assert.deepEqual([next.epoch, next.offset], [epoch, head!.head + 1]);
  await store.close();
});

test('a registered device of a file is there after reopening', async () => {
  const path = aFile();
  const first = openSqliteStore({ path, clock: systemClock });
  await register(first, 'd1', { tokenId: 'tok' });
  await first.close();
  const second = openSqliteStore({ path, clock: systemClock });
  assert.equal((await second.tokenClient('shop' as never, 'tok'))?.device, 'd1');
  await second.close();
});

test('a file of the release before opens with what it held, and its ledger begins with what waits there', async () => {
  const path = aFile();
  const db = new DatabaseSync(path);
  db.exec(`${MIGRATIONS[0]}; PRAGMA user_version = 1;`);
  db.exec(`
    INSERT INTO devices (id, app, device, account, generation, revoked_at) VALUES (1, 'shop', 'd1', 'ann', 3, 0);
    INSERT INTO streams (id, app, kind, name, life, head, floor, held, bytes, history) VALUES
      (1, 'shop', 'normal', 'd1', 'x', 3, 1, 2, 2, '[{"epoch":"e","first":1}]'),
      (2, 'shop', 'topic', 'news', 'x', 5, 0, 1, 1, '[{"epoch":"t","first":1}]');
    INSERT INTO entries (stream, offset, expires_at, appended_at, record) VALUES (1, 2, 0, 0, x'62'), (1, 3, 0, 0, x'63'), (2, 5, 0, 9, x'64');
    INSERT INTO duplicates (stream, message_id, offset, prev, at) VALUES (1, 'A', 1, 0, 1), (1, 'B', 2, 1, 1), (1, 'C', 3, 2, 1);
    INSERT INTO subscriptions (device, topic, epoch, offset) VALUES (1, 'news', 't', 3), (1, '$all', 'a', 1);
  `);
  db.close();
  const store = openSqliteStore({ path, clock: aManualClock() });
  const [app, d1, news] = ['shop' as AppId, 'd1' as DeviceId, 'news' as TopicName];
  assert.deepEqual([(await store.ledger(app)).accepted, await store.countWaiting(app)], [2 + 2, 2 + 2]);
  assert.deepEqual(await store.topicSubscribers(app, news, { after: null, limit: 9 }), { count: 1, devices: ['d1'] });
  const asked = ['A', 'B'].map((id) => ({ device: d1, lane: 'normal' as const, messageId: id as MessageId }));
  assert.deepEqual(
    (await store.deliveryStates(app, asked)).map(({ state }) => state),
    ['unknown', 'waiting'],
  );
  await appendAll(store, topic('news'), ['e']);
  await store.unsubscribe(app, d1, [news]);
  const { accepted, cancelled } = await store.ledger(app);
  assert.deepEqual([accepted, cancelled, await store.countWaiting(app)], [5, 3, 2]);
  await store.close();
});
