import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidNameError } from './ids.ts';
import { LANES, LANE_DEFAULT, laneOf, parseStreamName } from './streams.ts';
import type { StreamName } from './streams.ts';

test('a lane is a stream called @ and its name, a topic is none', () => {
  assert.deepEqual(
    LANES.map((lane) => laneOf(`@${lane}`)),
    ['high', 'normal', 'low'],
  );
  assert.deepEqual(
    ['news', '$all'].map((name) => laneOf(name as StreamName)),
    [null, null],
  );
  assert.ok(LANES.includes(LANE_DEFAULT));
});

test('text becomes a stream name when it is a lane, a topic or $all', () => {
  for (const name of ['@high', '@normal', '@low', 'news', '$all']) assert.equal(parseStreamName(name), name);
  for (const name of ['@urgent', '@', '', '$other', 3, null])
    assert.throws(
      () => parseStreamName(name, 'positions[1].stream'),
      (error) => error instanceof InvalidNameError && error.field === 'positions[1].stream',
    );
});
