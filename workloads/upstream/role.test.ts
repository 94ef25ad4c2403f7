// The upstream role as it runs: from the bus to SQLite, and its dead letters on the admin port.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { BUS_TOPICS } from '../bus/port.ts';
import { aRole, anUpstreamRecord, until } from './fixtures.ts';
import { DatabaseAddressError } from './handlers/database.ts';
import { UPSTREAM_GROUP } from './role.ts';
import { InvalidRulesError } from './rules.ts';

const TO_DATABASE = JSON.stringify([{ kinds: ['order*'], type: 'database' }]);

function aFile(t: TestContext): { path: string; rows: (sql?: string) => readonly Record<string, unknown>[] } {
  const dir = mkdtempSync(join(tmpdir(), 'pushcluster-upstream-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, 'upstream.sqlite');
  const rows = (sql = 'SELECT * FROM pushcluster_upstream ORDER BY seq'): readonly Record<string, unknown>[] => {
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      return db.prepare(sql).all();
    } finally {
      db.close();
    }
  };
  return { path, rows };
}

const envOf = (path: string) => ({
  PUSHCLUSTER_UPSTREAM_HANDLERS: TO_DATABASE,
  PUSHCLUSTER_UPSTREAM_DATABASE: `sqlite:${path}`,
});

describe('the upstream role', () => {
  test('stores each message once, in order, however often it came', async (t) => {
    const file = aFile(t);
    const { bus } = await aRole(t, { env: envOf(file.path) });
    for (let i = 0; i < 50; i++) {
      const record = anUpstreamRecord({ key: `k${i}`, body: { i } });
      await bus.publish(i % 5 === 0 ? [record, record] : [record]);
    }
    await until('all are settled', async () => (await bus.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream)) === 0);
    const rows = file.rows();
    assert.deepEqual(
      rows.map(({ key }) => key),
      Array.from({ length: 50 }, (_, i) => `k${i}`),
    );
    const { app, account, device, kind, body } = rows[3]!;
    assert.deepEqual(
      { app, account, device, kind, body },
      { app: 'shop', account: 'ann', device: 'd', kind: 'order', body: '{"i":3}' },
    );
  });

  test('goes on with what the life before left, and stores nothing twice', async (t) => {
    const file = aFile(t);
    const first = await aRole(t, { env: envOf(file.path) });
    await first.bus.publish([anUpstreamRecord({ key: 'a' })]);
    await until('it is stored', () => file.rows().length === 1);
    await first.role.stop();
    await first.bus.publish(['a', 'b'].map((key) => anUpstreamRecord({ key })));
    await aRole(t, { env: envOf(file.path), bus: first.bus });
    await until('all are settled', async () => (await first.bus.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream)) === 0);
    assert.deepEqual(
      file.rows().map(({ key }) => key),
      ['a', 'b'],
    );
  });

  test('refuses to start with handlers or a database that cannot be', async (t) => {
    const handlers = { PUSHCLUSTER_UPSTREAM_HANDLERS: '[{"kinds":[]}]' };
    await assert.rejects(aRole(t, { env: handlers }), InvalidRulesError);
    await assert.rejects(aRole(t, { env: { PUSHCLUSTER_UPSTREAM_HANDLERS: TO_DATABASE } }), DatabaseAddressError);
  });

  test('takes nothing while memory is above its limit, and goes on below it', async (t) => {
    const file = aFile(t);
    let bytes = 20_000_000;
    const env = { ...envOf(file.path), PUSHCLUSTER_UPSTREAM_MEMORY_BYTES_MAX: '10000000' };
    const { bus, ask } = await aRole(t, { env, memoryBytes: () => bytes });
    await bus.publish([anUpstreamRecord()]);
    await until('it says so', async () => ((await ask('GET', '/readyz')).body as { paused: boolean }).paused);
    assert.equal(await bus.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream), 1);
    bytes = 5_000_000;
    await until('it is settled', async () => (await bus.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream)) === 0);
  });

  test('counts what it did, for Prometheus', async (t) => {
    const file = aFile(t);
    const { bus, ask } = await aRole(t, { env: envOf(file.path) });
    await bus.publish([anUpstreamRecord(), anUpstreamRecord(), anUpstreamRecord({ kind: 'unheard', key: 'u' })]);
    await until('all are settled', async () => (await bus.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream)) === 0);
    const text = String((await ask('GET', '/metrics')).body);
    assert.match(text, /pushcluster_upstream_messages_total\{handler="database",outcome="handled"\} 1/);
    assert.match(text, /pushcluster_upstream_messages_total\{handler="database",outcome="duplicate"\} 1/);
    assert.match(text, /pushcluster_upstream_messages_total\{handler="none",outcome="dead"\} 1/);
    assert.match(text, /pushcluster_upstream_latency_seconds_bucket\{le="\+Inf"\} 1/);
    assert.match(text, /pushcluster_upstream_in_hand 0/);
  });
});

describe('dead letters of upstream', () => {
  interface Page {
    readonly held: number;
    readonly letters: readonly { readonly id: string; readonly key: string; readonly reason: string }[];
    readonly next: string | null;
  }

  test('are listed by page and shown whole, to who has the admin secret', async (t) => {
    const { bus, ask, role } = await aRole(t);
    await bus.publish(['a', 'b', 'c'].map((key) => anUpstreamRecord({ key, body: { key } })));
    await until('they are there', async () => ((await ask('GET', '/v1/dead-letters')).body as Page).held === 3);
    const first = (await ask('GET', '/v1/dead-letters?limit=2')).body as Page;
    assert.deepEqual(
      first.letters.map(({ key, reason }) => [key, reason]),
      [
        ['a', 'no handler for kind order'],
        ['b', 'no handler for kind order'],
      ],
    );
    const second = (await ask('GET', `/v1/dead-letters?limit=2&after=${first.next}`)).body as Page;
    assert.deepEqual([second.letters.map(({ key }) => key), second.next], [['c'], null]);
    assert.equal(((await ask('GET', '/v1/dead-letters?kind=other')).body as Page).letters.length, 0);
    const whole = (await ask('GET', `/v1/dead-letters/${second.letters[0]!.id}`)).body as { body: unknown };
    assert.deepEqual(whole.body, { key: 'c' });
    assert.equal((await ask('GET', '/v1/dead-letters/9-9')).status, 404);
    const anyone = await fetch(`http://127.0.0.1:${role.ports['admin']}/v1/dead-letters`);
    assert.equal(anyone.status, 401);
  });

  test('driven again they are handled, once, and are gone; dropped they are gone', async (t) => {
    const file = aFile(t);
    const without = await aRole(t);
    const { bus } = without;
    await bus.publish(['a', 'b', 'c'].map((key) => anUpstreamRecord({ key })));
    await until('they are dead', async () => ((await without.ask('GET', '/v1/dead-letters')).body as Page).held === 3);
    await without.role.stop();
    const { ask } = await aRole(t, { env: envOf(file.path), bus }); // the handler is there now
    await until('they are read', async () => ((await ask('GET', '/v1/dead-letters')).body as Page).held === 3);
    const { letters } = (await ask('GET', '/v1/dead-letters')).body as Page;
    assert.deepEqual((await ask('POST', '/v1/dead-letters/drop', { ids: [letters[1]!.id] })).body, { dropped: 1 });
    assert.deepEqual((await ask('POST', '/v1/dead-letters/redrive', { all: true, app: 'shop' })).body, {
      redriving: 2,
    });
    await until('they are stored', () => file.rows().length === 2);
    assert.deepEqual(
      file.rows().map(({ key }) => key),
      ['a', 'c'],
    );
    await until('they are gone', async () => ((await ask('GET', '/v1/dead-letters')).body as Page).held === 0);
    const other = await aRole(t, { bus });
    await until('another life has read them', async () => (await bus.lag(UPSTREAM_GROUP, BUS_TOPICS.upstream)) === 0);
    assert.equal(((await other.ask('GET', '/v1/dead-letters')).body as Page).held, 0);
  });

  test('a redrive keeps its pace', async (t) => {
    const { bus, ask } = await aRole(t);
    await bus.publish(Array.from({ length: 30 }, (_, i) => anUpstreamRecord({ key: `${i}` })));
    await until('they are dead', async () => ((await ask('GET', '/v1/dead-letters')).body as Page).held === 30);
    const startedAt = performance.now();
    await ask('POST', '/v1/dead-letters/redrive', { all: true, perSecond: 40 });
    const redriven = async (): Promise<number> =>
      Number(/redriven_total (\d+)/.exec(String((await ask('GET', '/metrics')).body))?.[1] ?? 0);
    await until('all were driven again', async () => (await redriven()) === 30);
    assert.ok(performance.now() - startedAt > 500, 'thirty at 40 a second take most of a second');
  });

  for (const [what, path, body, field] of [
    ['no ids', '/v1/dead-letters/redrive', {}, 'ids'],
    ['ids that are not there', '/v1/dead-letters/drop', { ids: ['7-7'] }, 'ids'],
    ['a pace past its limit', '/v1/dead-letters/redrive', { all: true, perSecond: 10_001 }, 'perSecond'],
    ['no object', '/v1/dead-letters/drop', [], 'body'],
  ] as const)
    test(`${what}: refused by field`, async (t) => {
      const { ask } = await aRole(t);
      const answer = await ask('POST', path, body);
      assert.equal(answer.status, 400);
      assert.equal((answer.body as { error: { field: string } }).error.field, field);
    });
});
