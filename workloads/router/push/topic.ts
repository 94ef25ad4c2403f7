// A durable message to a topic, or to everyone: one entry, its row, and a word to every gateway.
import type { TopicName } from '../../protocol/ids.ts';
import type { AppendOutcome } from '../../store/port.ts';
import type { Hints } from '../delivery/hints.ts';
import { rowOf } from './compose.ts';
import type { Outgoing } from './compose.ts';
import type { DeviceSender } from './devices.ts';

export interface TopicSent {
  readonly at: AppendOutcome;
  readonly gateways: number;
}

/** Rejects as the store does. */
export async function sendToTopic(
  parts: { readonly hints: Hints; readonly sender: DeviceSender },
  out: Outgoing,
  topic: TopicName,
): Promise<TopicSent> {
  const { app, id, record, expiresAtMs, collapseKey } = out;
  const at = await parts.sender.append(
    {
      stream: { app, kind: 'topic', topic },
      messageId: id,
      record,
      expiresAtMs,
      ...(collapseKey === null ? {} : { collapseKey }),
    },
    rowOf(out, { state: 'accepted', recipients: 1, withRecord: false }),
  );
  if (at.kind !== 'appended') return { at, gateways: 0 };
  const { epoch, offset, prev } = at;
  const told = { kind: 'deliver-topic', app, topic, epoch, offset, prev, stamp: 0, record } as const;
  return { at, gateways: parts.hints.gateways.tellTopic(told) };
}
