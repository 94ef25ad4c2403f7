import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceivedMessage } from '../../workloads/client/client.ts';
import type { MessageId } from '../../workloads/protocol/ids.ts';
import { keyIn, reactionTo, workMsOf } from './behaviour.ts';

function aMessage(id: string, more: Partial<ReceivedMessage> = {}): ReceivedMessage {
  const base = { stream: '@normal', offset: 1, epoch: null, sentAtMs: 0, attempt: 1, attributes: null } as const;
  return { ...base, id: id as MessageId, body: { k: id }, ...more };
}
const thousand = Array.from({ length: 1000 }, (_, i) => aMessage(`id-${i}`));

test('a share of the messages is nacked, the same ones each time, and only at their first deliveries', () => {
  const behaviour = { nack: { share: 0.3, deliveries: 2 } };
  const nacked = thousand.filter((message) => reactionTo(message, behaviour) === 'nack');
  assert.ok(nacked.length > 230 && nacked.length < 370, String(nacked.length));
  for (const message of nacked) {
    assert.equal(reactionTo({ ...message, attempt: 2 }, behaviour), 'nack');
    assert.equal(reactionTo({ ...message, attempt: 3 }, behaviour), 'take');
  }
});

test('poison leads to what the behaviour says, whatever the attempt', () => {
  const poison = aMessage('a', { body: { poison: true }, attempt: 9 });
  for (const reaction of ['nack', 'dead', 'person', 'crash'] as const)
    assert.equal(reactionTo(poison, { poison: reaction }), reaction);
  assert.equal(reactionTo(poison, {}), 'take');
});

test('work takes up to the time given', () => {
  const times = thousand.map((message) => workMsOf(message, { workMs: 50 }));
  assert.ok(Math.min(...times) >= 0 && Math.max(...times) <= 50 && new Set(times).size > 20);
  assert.equal(workMsOf(thousand[0]!, {}), 0);
});

test('the key of a publication is in its body', () => {
  assert.equal(keyIn({ k: 'a-1' }), 'a-1');
  for (const body of [null, 'k', { k: 1 }, [], new Uint8Array(1)]) assert.equal(keyIn(body), null);
});
