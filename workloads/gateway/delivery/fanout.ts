// Fan-out of one topic message to every session here that hears it: the hot loop. deliver.ts calls it for each deliver-topic frame of a
// link; the outbox writes at the end of the tick. Live messages are offered to all; durable ones to those whose position they continue,
// and the others get them by a read. Hearers with a filter are in groups of their own, each asked once: the plain loop knows nothing of them.
import type { Epoch } from '../../protocol/ids.ts';
import type { DeliverTopic } from '../../protocol/link.ts';
import type { Channel, Hearers } from './channel.ts';
import { decideHint, hear } from '../endings/cursor.ts';
import { MessageEncoder } from './encode.ts';
import type { Gateway } from '../gateway.ts';
import { keepLate } from './late-live.ts';
import { Tail } from './tail.ts';
import { windowOf } from '../endings/window.ts';
import { openStream, skipEntries, writeEntry } from './write-entry.ts';

/** Bytes of entries that the tails of all topics may hold; topics that come later have none. */
export const TAILS_BYTES_MAX = 32 * 1024 * 1024;

/** Passes a live message on. Answers how many sessions were given it. Cost: one encoding and ~20 ns for each hearer, writes apart. */
export function fanOutLive(gateway: Gateway, channel: Channel, message: DeliverTopic): number {
  if (!channel.admitsLive(message.stamp)) {
    gateway.counts.outdatedLive++;
    return 0;
  }
  const encoder = new MessageEncoder(channel.topic, 0, message.record);
  let given = offerLive(gateway, channel.all, encoder);
  if (channel.filtered === null) return given;
  for (const [filter, hearers] of channel.filtered)
    if (encoder.passes(filter)) given += offerLive(gateway, hearers, encoder);
  return given;
}

function offerLive(gateway: Gateway, { connections }: Hearers, encoder: MessageEncoder): number {
  const { outbox, counts } = gateway;
  const frame = encoder.frame(0);
  let late = 0;
  const hearers = connections.length;
  // From the end: one that is cut on the way is replaced by the last, which was served.
  for (let i = hearers - 1; i >= 0; i--) {
    if (outbox.offer(connections[i]!, frame) === 'queued') continue;
    late++;
    keepLate(gateway, connections[i]!, encoder);
  }
  counts.deliveredLive += hearers - late;
  return hearers - late;
}

type DurableMessage = DeliverTopic & { readonly epoch: Epoch };

/** Passes a durable message on. Answers how many sessions hear the topic: they have it now or get it by a read. */
export function fanOutDurable(gateway: Gateway, channel: Channel, message: DurableMessage): number {
  hear(channel, message.epoch, message.offset);
  const record = message.record.slice(); // it stays longer than the link's buffer
  const encoder = new MessageEncoder(channel.topic, message.offset, record);
  keepTail(gateway, channel, message, encoder, record);
  offerDurable(gateway, channel.all, message, encoder);
  if (channel.filtered === null) return channel.members;
  for (const [filter, hearers] of channel.filtered)
    if (encoder.passes(filter)) offerDurable(gateway, hearers, message, encoder);
    else passDurable(gateway, hearers, message);
  return channel.members;
}

function offerDurable(
  gateway: Gateway,
  { cursors, connections }: Hearers,
  message: DurableMessage,
  encoder: MessageEncoder,
): void {
  for (let i = cursors.length - 1; i >= 0; i--) {
    const cursor = cursors[i]!;
    const connection = connections[i]!;
    const decision = decideHint(cursor, message, windowOf(gateway, connection));
    if (decision === 'deliver') {
      if (cursor.epoch === null) openStream(connection, cursor, message.epoch);
      writeEntry(gateway, connection, cursor, encoder);
    } else if (decision === 'read') gateway.reader.want(connection, cursor, 'gap');
  }
}

/** Nobody of these wants it: their cursors pass it, and no window is needed for that. */
function passDurable(gateway: Gateway, { cursors, connections }: Hearers, message: DurableMessage): void {
  const { offset } = message;
  for (let i = cursors.length - 1; i >= 0; i--) {
    const cursor = cursors[i]!;
    const connection = connections[i]!;
    const decision = decideHint(cursor, message, Number.POSITIVE_INFINITY);
    if (decision === 'read') gateway.reader.want(connection, cursor, 'gap');
    if (decision !== 'deliver') continue;
    if (cursor.epoch === null) openStream(connection, cursor, message.epoch);
    skipEntries(connection, cursor, { from: cursor.seen + 1, to: offset - 1, why: 'expired' });
    skipEntries(connection, cursor, { from: offset, to: offset, why: 'filtered' });
  }
}

function keepTail(
  gateway: Gateway,
  channel: Channel,
  { epoch, prev }: DurableMessage,
  encoder: MessageEncoder,
  record: Uint8Array,
): void {
  const { counts, wheel } = gateway;
  const tail = (channel.tail ??= new Tail());
  const before = tail.bytes;
  if (counts.tailBytes < TAILS_BYTES_MAX) tail.push(epoch, { prev, encoder, record, atMs: wheel.nowMs });
  else tail.clear();
  counts.tailBytes += tail.bytes - before;
}
