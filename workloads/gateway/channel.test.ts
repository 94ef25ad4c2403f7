import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AppId, TopicName } from '../protocol/ids.ts';
import { Channel } from './channel.ts';
import type { Connection } from './connection.ts';
import { Cursor } from './cursor.ts';

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
    assert.equal(channel.cursors.length, 2);
    channel.cursors.forEach((cursor, i) => {
      const pair = pairs.find((each) => each.cursor === cursor);
      assert.equal(channel.connections[i], pair?.connection);
      assert.equal(cursor.hearer, i);
    });
  });
  test('passes live messages of one router in their order, and those of another by theirs', () => {
    const channel = aChannel();
    const [a, b] = [{}, {}];
    const admitted = [
      channel.admitsLive(a, 5),
      channel.admitsLive(a, 5),
      channel.admitsLive(a, 4),
      channel.admitsLive(a, 6),
      channel.admitsLive(b, 1),
    ];
    assert.deepEqual(admitted, [true, false, false, true, true]);
  });
});
