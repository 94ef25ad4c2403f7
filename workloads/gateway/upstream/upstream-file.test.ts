import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { BusRecord } from '../../bus/port.ts';
import { silentLog } from '../../runtime/log.ts';
import { SEGMENT_BYTES, UpstreamFile } from './upstream-file.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'upstream-file-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const aFile = (bytesMax = 10_000_000): Promise<UpstreamFile> =>
  UpstreamFile.open({ dir: join(dir, 'gateway-0'), bytesMax, topic: 't', log: silentLog });
const aRecord = (n: number, text = 'ä "\n'): BusRecord => ({
  topic: 't',
  key: `k${n}`,
  headers: { n: String(n) },
  value: Buffer.from(JSON.stringify(text)),
});
const ns = (records: readonly BusRecord[]): number[] => records.map(({ headers }) => Number(headers['n']));

test('what was kept comes back in order, byte for byte, and goes once it was dropped', async () => {
  const file = await aFile();
  assert.equal(file.isEmpty, true);
  assert.equal(await file.append([aRecord(1), aRecord(2)]), 'kept');
  assert.equal(await file.append([aRecord(3)]), 'kept');
  const records = await file.oldest();
  assert.deepEqual([ns(records), records[0]], [[1, 2, 3], aRecord(1)]);
  await file.append([aRecord(4)]); // behind what is being replayed
  await file.dropOldest();
  assert.deepEqual(ns(await file.oldest()), [4]);
  await file.dropOldest();
  assert.deepEqual([file.isEmpty, file.bytes, readdirSync(join(dir, 'gateway-0'))], [true, 0, []]);
  await file.close();
});

test('a life that follows finds it, goes on behind it, and passes over a line that a crash cut off', async () => {
  const first = await aFile();
  await first.append([aRecord(1), aRecord(2)]);
  await first.close();
  const [name] = readdirSync(join(dir, 'gateway-0'));
  appendFileSync(join(dir, 'gateway-0', name!), '["k9",{"n":"9"},"cut');
  writeFileSync(join(dir, 'gateway-0', 'other.txt'), 'not ours');
  const second = await aFile();
  await second.append([aRecord(3)]);
  assert.deepEqual(ns(await second.oldest()), [1, 2]);
  await second.dropOldest();
  assert.deepEqual(ns(await second.oldest()), [3]);
  await second.close();
});

test('segments end when they have grown, and each is read back by itself', async () => {
  const file = await aFile();
  const text = 'x'.repeat(SEGMENT_BYTES / 2);
  for (const n of [1, 2, 3]) await file.append([aRecord(n, text)]);
  assert.deepEqual(ns(await file.oldest()), [1, 2]);
  await file.dropOldest();
  assert.deepEqual(ns(await file.oldest()), [3]);
  await file.close();
});

test('is full at its bound and not before, and takes again what fits', async () => {
  const size = Buffer.byteLength(`${JSON.stringify(['k1', { n: '1' }, '"x"'])}\n`);
  const file = await aFile(2 * size);
  assert.equal(await file.append([aRecord(1, 'x'), aRecord(2, 'x')]), 'kept');
  assert.equal(file.bytes, 2 * size);
  assert.equal(await file.append([aRecord(3, 'x')]), 'full');
  await file.oldest();
  await file.dropOldest();
  assert.equal(await file.append([aRecord(3, 'x')]), 'kept');
  await file.close();
});

test('a folder that cannot be used is an error at once', async () => {
  writeFileSync(join(dir, 'gateway-0'), 'a file');
  await assert.rejects(aFile(), { code: 'EEXIST' });
});
