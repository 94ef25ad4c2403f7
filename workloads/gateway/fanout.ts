// Fan-out of one topic message to every session here that hears it: the hot loop. deliver.ts calls it for each deliver-topic frame of a
// link; the outbox writes at the end of the tick. Live messages are offered to all; durable ones to those whose position they continue,
// and the others get them by a read.
import type { DeliverTopic } from '../protocol/link.ts';
import type { Channel } from './channel.ts';
import { decideHint, hear } from './cursor.ts';
import { MessageEncoder } from './encode.ts';
import type { Gateway } from './gateway.ts';
import { writeEntry } from './write-entry.ts';

/** Passes a live message on. Answers how many sessions were given it. Cost: one encoding and ~20 ns for each hearer, writes apart. */
export function fanOutLive(gateway: Gateway, channel: Channel, message: DeliverTopic): number {
  const { outbox, counts } = gateway;
  if (!channel.admitsLive(message.stamp)) {
    counts.outdatedLive++;
    return 0;
  }
  const frame = new MessageEncoder(channel.topic, 0, message.record).frame(0);
  const { connections } = channel;
  let dropped = 0;
  for (let i = 0; i < connections.length; i++) if (outbox.offer(connections[i]!, frame) === 'slow') dropped++;
  counts.droppedLive += dropped;
  counts.deliveredLive += connections.length - dropped;
  return connections.length - dropped;
}

/** Passes a durable message on. Answers how many sessions hear the topic: they have it now or get it by a read. */
export function fanOutDurable(gateway: Gateway, channel: Channel, message: DeliverTopic & { epoch: string }): number {
  hear(channel, message.epoch, message.offset);
  const encoder = new MessageEncoder(channel.topic, message.offset, message.record);
  const { windowMessagesMax } = gateway.settings;
  const { cursors, connections } = channel;
  for (let i = 0; i < cursors.length; i++) {
    const cursor = cursors[i]!;
    const decision = decideHint(cursor, message, windowMessagesMax);
    if (decision === 'deliver')
      writeEntry(gateway, connections[i]!, cursor, { epoch: message.epoch, offset: message.offset, encoder });
    else if (decision === 'read') gateway.reader.want(connections[i]!, cursor, 'gap');
  }
  return channel.members;
}
