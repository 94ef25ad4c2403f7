// Packed replies: what cmsgpack writes is read back, on a real Redis too, and odd bytes are refused.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { unpackReplies } from './packed.ts';
import type { Reply } from './trip.ts';
import { redisMissing, TestRedis, VOLATILE } from './test-server.ts';
import { StoreUnavailableError } from '../port.ts';

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
/** Bytes as text, so that they compare. */
const plain = (reply: Reply): unknown =>
  Buffer.isBuffer(reply) ? reply.toString() : Array.isArray(reply) ? reply.map(plain) : reply;

const READ: readonly { hex: string; value: unknown }[] = [
  { hex: '90', value: [] },
  { hex: '93 00 7f ff', value: [0, 127, -1] },
  { hex: '92 c0 c2', value: [null, null] },
  { hex: '91 c3', value: [1] },
  { hex: '91 a0', value: [''] },
  { hex: '92 a2 0d 0a c4 01 00', value: ['\r\n', '\0'] },
  { hex: '93 d9 01 61 da 00 01 62 db 00 00 00 01 63', value: ['a', 'b', 'c'] },
  { hex: '92 c5 00 01 61 c6 00 00 00 01 62', value: ['a', 'b'] },
  {
    hex: '94 cc ff cd ff ff ce ff ff ff ff cf 00 1f ff ff ff ff ff ff',
    value: [255, 65_535, 2 ** 32 - 1, 2 ** 53 - 1],
  },
  {
    hex: '94 d0 80 d1 80 00 d2 80 00 00 00 d3 ff ff ff ff 00 00 00 00',
    value: [-128, -32_768, -(2 ** 31), -(2 ** 32)],
  },
  { hex: '92 ca 3f c0 00 00 cb c0 05 99 99 99 99 99 9a', value: [1, -2] },
  { hex: '91 dc 00 01 91 dd 00 00 00 01 01', value: [[[[1]]]] },
];
for (const { hex, value } of READ)
  test(`${hex} is read as ${JSON.stringify(value)}`, () =>
    assert.deepEqual(unpackReplies(bytesOf(hex)).map(plain), value));

const REFUSED: readonly { title: string; hex: string }[] = [
  { title: 'nothing', hex: '' },
  { title: 'a value that is no list', hex: '01' },
  { title: 'bytes after the list', hex: '90 00' },
  { title: 'a list that lacks its last element', hex: '92 01' },
  { title: 'a text that is cut', hex: '91 a3 61 62' },
  { title: 'a number that is cut', hex: '91 cd ff' },
  { title: 'a double that is cut', hex: '91 cb 00 00' },
  { title: 'a length that no reply could have', hex: 'dd ff ff ff ff 00' },
  { title: 'a map', hex: '91 81 01 02' },
  { title: 'a type that is never used', hex: '91 c1' },
  { title: 'lists too deep', hex: '91 91 91 91 91 91 91 91 91 01' },
];
for (const { title, hex } of REFUSED)
  test(`${title} is refused`, () => assert.throws(() => unpackReplies(bytesOf(hex)), StoreUnavailableError));

test('every cut of a reply is refused', () => {
  const whole = bytesOf('93 a3 61 62 63 92 cd 01 00 c0 d9 02 64 65');
  assert.equal(unpackReplies(whole).length, 3);
  for (let size = 0; size < whole.length; size++)
    assert.throws(() => unpackReplies(whole.subarray(0, size)), StoreUnavailableError);
});

describe('what a Redis packs', { skip: redisMissing() ?? false }, () => {
  let server: TestRedis;
  let redis: Redis;
  before(async () => {
    server = await TestRedis.start(VOLATILE);
    redis = new Redis({ host: '127.0.0.1', port: server.port });
  });
  after(async () => {
    redis.disconnect();
    await server.remove();
  });

  test('is what RESP says of the same tables', async () => {
    const lua = `{ 0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 4503599627370497, -1, -32, -33, -129, -40000,
      -3000000000, 1.5, -2.5, 1e15 + 0.5, false, true, '', 'x', string.rep('y', 31), string.rep('y', 32), string.rep('z', 300),
      string.rep('w', 70000), {}, { 1 }, { 'a', { false, 2 } }, cmsgpack.unpack(cmsgpack.pack({ 'm', { 3 } })) }`;
    const packed = (await redis.callBuffer('EVAL', `return cmsgpack.pack(${lua})`, 0)) as Buffer;
    const nested = (await redis.callBuffer('EVAL', `return ${lua}`, 0)) as Reply;
    assert.deepEqual(unpackReplies(packed).map(plain), plain(nested));
    const many = (await redis.callBuffer(
      'EVAL',
      'local t = {} for i = 1, 70000 do t[i] = i end return cmsgpack.pack(t)',
      0,
    )) as Buffer;
    assert.deepEqual(
      unpackReplies(many),
      Array.from({ length: 70_000 }, (_, i) => i + 1),
    );
  });
});
