import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { protocolExamples } from '../protocol/page.ts';
import { InvalidFrameError, decodeServerFrame } from './codec.ts';

const PAGE = readFileSync(new URL('../protocol/README.md', import.meta.url), 'utf8');

for (const { name, direction, frame } of protocolExamples(PAGE)) {
  if (direction !== 'gateway') continue;
  test(`reads the example of ${name} on the protocol page`, () => {
    assert.deepEqual(decodeServerFrame(JSON.stringify(frame)), frame);
  });
}

test('kinds that it does not know are null, fields that it does not know stay', () => {
  assert.equal(decodeServerFrame('{"type":"weather"}'), null);
  assert.equal(decodeServerFrame('{"type":"constructor"}'), null);
  assert.deepEqual(decodeServerFrame('{"type":"taken","id":1,"new":2}'), { type: 'taken', id: 1, new: 2 });
});

for (const text of [
  'not json',
  '[]',
  'null',
  '{}',
  '{"type":1}',
  '{"type":"taken"}',
  '{"type":"taken","id":-1}',
  '{"type":"message","stream":"@normal","id":"a","offset":"1"}',
  '{"type":"welcome","gateway":"g","ticket":"t","targets":[1],"heartbeatIntervalMs":1,"streams":[]}',
  '{"type":"welcome","gateway":"g","ticket":"t","targets":[],"heartbeatIntervalMs":1,"streams":[null]}',
  '{"type":"stream","state":{"stream":"a","epoch":"e","offset":1}}',
  '{"type":"message","stream":"@normal","id":"a","offset":1}',
  '{"type":"message","stream":"news","id":"a","idOnly":true}',
  '{"type":"message","stream":"news","id":"a","offset":1,"attempt":"2","body":1}',
  '{"type":"pulled","id":1,"stream":"@normal","sent":1}',
  '{"type":"fetched","id":1}',
  '{"type":"sent","id":1}',
  '{"type":"grouped","id":1,"group":"g","members":[1]}',
  '{"type":"degraded","levelMin":1}',
  new Uint8Array(3),
]) {
  test(`refuses ${String(text)}`, () => {
    assert.throws(() => decodeServerFrame(text), InvalidFrameError);
  });
}
