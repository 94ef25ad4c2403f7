import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Client } from '../../workloads/client/client.ts';
import { compareUpstream, readUpstreamLog } from './compare-upstream.ts';
import type { HandledUpstream } from './compare-upstream.ts';
import { sendByTurns, upstreamByTurns } from './talk.ts';
import type { UpstreamLine } from './talk.ts';
import { readPublished } from './report.ts';

function aLine(key: string, number: number, more: Partial<UpstreamLine> = {}): UpstreamLine {
  return { device: 'dev-0', number, order: null, key, tMs: 1, takenMs: 2, ...more };
}
function handled(k: string, number: number, more: Partial<HandledUpstream> = {}): HandledUpstream {
  return { k, device: 'dev-0', order: null, number, ...more };
}

test('finds what was lost, doubled, out of order and strange', () => {
  const sent = ['a', 'b', 'c', 'd'].map((key, i) => aLine(key, i));
  const result = compareUpstream(sent, [
    handled('a', 0),
    handled('c', 2),
    handled('b', 1),
    handled('a', 0),
    handled('z', 9, { device: 'dev-9' }),
  ]);
  assert.deepEqual([result.owed, result.handled, result.outOfOrder, result.strangers], [4, 4, 1, 1]);
  assert.deepEqual(result.doubled, ['a']);
  assert.deepEqual(
    result.lost.map(({ key }) => key),
    ['d'],
  );
});

test('order is that of the order key; what nobody was told is taken is not owed', () => {
  const sent = [aLine('a', 0, { order: 'x' }), aLine('b', 0, { order: 'y' }), aLine('c', 1, { takenMs: null })];
  const result = compareUpstream(sent, [handled('b', 5, { order: 'y' }), handled('a', 0, { order: 'x' })]);
  assert.deepEqual([result.owed, result.outOfOrder, result.lost.length], [2, 0, 0]);
});

test('devices in turn say so many, paced, each logged once it is taken, and as unknown where it failed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'talk-'));
  const said: unknown[][] = [];
  const client = {
    send: (...given: unknown[]) => {
      said.push(given);
      return said.length % 4 === 0 ? Promise.reject(new Error('closed')) : Promise.resolve(`id-${said.length}`);
    },
  } as unknown as Client;
  const speakers = ['dev-000000', 'dev-000001'].map((name) => ({ name, client }));
  const base = { count: 4, rate: 1000 };

  const upstream = { ...base, log: join(folder, 'up.jsonl'), keyPrefix: 'u', kind: 'order', orders: 1 };
  assert.deepEqual(await upstreamByTurns(speakers, upstream), { said: 4, taken: 3, failed: 1, lastProblem: 'closed' });
  assert.deepEqual(said[1]?.[2], { order: 'dev-000001/0' });
  const lines = readUpstreamLog(upstream.log);
  assert.deepEqual(
    lines.map(({ device, number, key, takenMs }) => [device, number, key, takenMs !== null]),
    [
      ['dev-000000', 0, 'u-0', true],
      ['dev-000001', 0, 'u-1', true],
      ['dev-000000', 1, 'u-2', true],
      ['dev-000001', 1, 'u-3', false],
    ],
  );

  const to = { devices: { first: 0, count: 2 } };
  await sendByTurns(speakers, { ...base, log: join(folder, 'sent.jsonl'), keyPrefix: 's', to });
  const { accepted, unknownKeys } = readPublished(join(folder, 'sent.jsonl'));
  assert.deepEqual(
    accepted.map(({ id, key, to: owed }) => [id, key, owed]),
    [
      ['id-5', 's-0', { device: 'dev-000001' }],
      ['id-6', 's-1', { device: 'dev-000000' }],
      ['id-7', 's-2', { device: 'dev-000001' }],
    ],
  );
  assert.deepEqual(unknownKeys, ['s-3']);
  rmSync(folder, { recursive: true });
});
