// Delivery ids: back and forth, and what is none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeDeliveryId, encodeDeliveryId } from './delivery-id.ts';
import type { Delivery } from './delivery-id.ts';

test('a delivery id comes back as it was made, and is safe in a URL', () => {
  for (const stream of ['@normal', 'news/eu:1~x@y', '$all']) {
    const delivery = { device: 'd.1:/x@-', stream, epoch: 'e-_9', offset: 2 ** 47 } as Delivery;
    const id = encodeDeliveryId(delivery);
    assert.match(id, /^[A-Za-z0-9_-]+$/);
    assert.deepEqual(decodeDeliveryId(id), delivery);
  }
});

test('a text that is no delivery id is null', () => {
  const texts = ['', 'd', 'd,@normal,e', 'd,@normal,e,x', 'd,@normal,e,1,2', `d,@normal,e,${'9'.repeat(16)}`];
  for (const text of texts) assert.equal(decodeDeliveryId(Buffer.from(text).toString('base64url')), null, text);
});
