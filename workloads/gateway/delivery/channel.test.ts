import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AppId, TopicName } from '../../protocol/ids.ts';
import { Channel } from './channel.ts';
import type { Connection } from '../connect/connection.ts';
import { Cursor } from '../endings/cursor.ts';
import { LIVE_LATE_MAX_MS } from './live-order.ts';

const aChannel = (): Channel => new Channel('shop' as AppId, 'news' as TopicName);

describe('a channel', () => {
  test('keeps each cursor with its connection, whoever leaves', () => {
    const channel = aChannel();
    const pairs = Array.from({ length: 5 }, (_, i) => ({
      cursor: new Cursor('news' as TopicName, channel),
      connection: { index: i } as unknown as Connection,
    }));
    for (const { cursor, connection } of pairs) channel.join(cursor, connection);
    channel.join(pairs[0]!.cursor, pairs[0]!.connection);
    for (const at of [1, 4, 0]) channel.leave(pairs[at]!.cursor);
    channel.leave(pairs[1]!.cursor);
    assert.equal(channel.all.cursors.length, 2);
    channel.all.cursors.forEach((cursor, i) => {
      const pair = pairs.find((each) => each.cursor === cursor);
      assert.equal(channel.all.connections[i], pair?.connection);
      assert.equal(cursor.hearer, i);
    });
  });
  test('passes live messages in the order of their stamps, whoever sent them', () => {
    const channel = aChannel();
    const admitted = [5, 5, 4, 6, 1, 7].map((stamp) => channel.admitsLive(stamp));
    assert.deepEqual(admitted, [true, false, false, true, false, true]);
  });
  test('passes an older stamp again when it is older by more than any message can be late: a clock was put right', () => {
    const channel = aChannel();
    const start = 1_800_000_000_000_000;
    const lateMax = LIVE_LATE_MAX_MS * 1000;
    const admitted = [start, start - lateMax, start - lateMax - 1, start - lateMax].map((s) => channel.admitsLive(s));
    assert.deepEqual(admitted, [true, false, true, true]);
  });
});
