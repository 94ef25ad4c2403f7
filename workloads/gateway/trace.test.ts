import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AppId, DeviceId, Epoch, MessageId } from '../protocol/ids.ts';
import { TRACE_ANSWER_MAX, Trace } from './trace.ts';
import type { DeliveryEvent, TracePlace } from './trace.ts';

const app = 'shop' as AppId;
const owner = (device: string, of = app): { app: AppId; device: DeviceId } => ({
  app: of,
  device: device as DeviceId,
});
const place = (offset: number, more: Partial<TracePlace> = {}): TracePlace => ({
  stream: '@normal',
  epoch: 'e1' as Epoch,
  offset,
  messageId: `m${offset}` as MessageId,
  attempt: 1,
  ...more,
});
const acked = (offset: number): TracePlace => place(offset, { messageId: null, attempt: 0 });

function aTrace(size?: number): { trace: Trace; at: { ms: number } } {
  const at = { ms: 1000 };
  return { trace: new Trace(() => at.ms++, size), at };
}

describe('the trace of a device', () => {
  test('has its events oldest first, with time, place and detail, and nobody else’s', () => {
    const { trace } = aTrace();
    trace.noteSession('connected', owner('d'));
    trace.note('written', owner('other'), place(1));
    trace.note('written', owner('d', 'bank' as AppId), place(1));
    trace.note('written', owner('d'), place(1, { attempt: 2 }));
    trace.note('nacked', owner('d'), place(1), 'disk full');
    trace.noteSession('closed', owner('d'), '4002 slow');
    assert.deepEqual(trace.find(app, { device: 'd' as DeviceId }), [
      { atMs: 1000, event: 'connected', app, device: 'd' },
      {
        atMs: 1003,
        event: 'written',
        app,
        device: 'd',
        stream: '@normal',
        epoch: 'e1',
        offset: 1,
        messageId: 'm1',
        attempt: 2,
      },
      {
        atMs: 1004,
        event: 'nacked',
        app,
        device: 'd',
        stream: '@normal',
        epoch: 'e1',
        offset: 1,
        messageId: 'm1',
        attempt: 1,
        detail: 'disk full',
      },
      { atMs: 1005, event: 'closed', app, device: 'd', detail: '4002 slow' },
    ]);
  });
  test('is at most the newest events of the answer’s limit', () => {
    const { trace } = aTrace();
    for (let offset = 1; offset <= TRACE_ANSWER_MAX; offset++) trace.note('written', owner('d'), place(offset));
    assert.equal(trace.find(app, { device: 'd' as DeviceId }).length, TRACE_ANSWER_MAX);
    trace.note('written', owner('d'), place(TRACE_ANSWER_MAX + 1));
    const events = trace.find(app, { device: 'd' as DeviceId });
    assert.deepEqual([events.length, events[0]?.offset, events.at(-1)?.offset], [TRACE_ANSWER_MAX, 2, 501]);
  });
});

test('the trace of a message has its deliveries to each device, and of each the first ack that covers it', () => {
  const { trace } = aTrace();
  const note = (event: DeliveryEvent, device: string, at: TracePlace): void => trace.note(event, owner(device), at);
  note('acked', 'a', acked(9)); // before it was written: of something else
  note('written', 'a', place(5));
  note('written', 'b', place(5));
  note('acked', 'a', acked(4));
  note('acked', 'a', acked(6));
  note('acked', 'a', acked(7));
  note('dead', 'b', place(5));
  note('acked', 'b', { ...acked(6), epoch: 'e2' as Epoch });
  const events = trace.find(app, { messageId: 'm5' as MessageId });
  assert.deepEqual(
    events.map(({ event, device, offset }) => `${event} ${device} ${offset}`),
    ['written a 5', 'written b 5', 'acked a 6', 'dead b 5'],
  );
});

test('the ring keeps its size: the oldest events go', () => {
  const { trace } = aTrace(4);
  for (let offset = 1; offset <= 6; offset++) trace.note('written', owner('d'), place(offset));
  trace.noteSession('closed', owner('d'));
  const events = trace.find(app, { device: 'd' as DeviceId });
  assert.deepEqual(
    events.map(({ event, offset }) => `${event} ${offset ?? ''}`),
    ['written 4', 'written 5', 'written 6', 'closed '],
  );
});
