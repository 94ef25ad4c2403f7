// Opening a store by its address: handles on one SQLite file, and addresses that are refused.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStore } from './open.ts';
import { appendAll, appended, topic } from './contract-subject.ts';
import { StoreUnavailableError } from './port.ts';
import type { Store } from './port.ts';
import { aManualClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';

function open(url: string): Promise<Store> {
  return openStore({ url, password: '', timeoutMs: 1000, clock: aManualClock(), log: silentLog });
}

test('several opens of one file share its writer until the last is closed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pushcluster-open-'));
  const url = `sqlite:${join(folder, 'store.sqlite')}`;
  const [one, two] = [await open(url), await open(url)];
  await appendAll(one, topic('t'), ['a']);
  assert.equal(appended((await appendAll(two, topic('t'), ['b']))[0]).offset, 2);
  await one.close();
  await one.close();
  await assert.rejects(one.heads([topic('t')]), StoreUnavailableError);
  assert.equal((await one.health()).reachable, false);
  assert.equal((await two.heads([topic('t')]))[0]!.head, 2);
  await two.close();
  const three = await open(url);
  assert.equal((await three.heads([topic('t')]))[0]!.head, 2);
  await three.close();
  rmSync(folder, { recursive: true, force: true });
});

test('memory stores are shared by their names and gone after the last handle', async () => {
  const [a, again, b] = [
    await open('sqlite::memory:a'),
    await open('sqlite::memory:a'),
    await open('sqlite::memory:b'),
  ];
  await appendAll(a, topic('t'), ['x']);
  assert.deepEqual((await again.heads([topic('t')]))[0]!.head, 1);
  assert.deepEqual((await b.heads([topic('t')]))[0]!.head, 0);
  for (const store of [a, again, b]) await store.close();
  const fresh = await open('sqlite::memory:a');
  assert.deepEqual((await fresh.heads([topic('t')]))[0]!.head, 0);
  await fresh.close();
});

for (const url of ['', 'http://x', 'sqlite:', 'redis+cluster:x', 'redis+sentinel://a', 'redis://u:secret@h']) {
  test(`refuses the address ${JSON.stringify(url)} by name, without repeating what could be secret`, async () => {
    await assert.rejects(open(url), (error: Error & { code?: string }) => {
      return error.code === 'store-address' && error.message.includes('expected') && !error.message.includes('secret');
    });
  });
}
