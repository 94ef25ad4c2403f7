// Hints of durable messages while a gateway sheds at the highest level: only heard, so that whoever is behind reads on when it is over. They
// are answered as ever, since the stream has the message and the session gets it (R1).
import type { Answer, DeliverDevice, DeliverMany, DeliverTopic, LinkFrame } from '../../protocol/link.ts';
import { hear } from '../endings/cursor.ts';
import { hearEarly, hearLane } from './deliver.ts';
import type { Gateway } from '../gateway.ts';

type Held = DeliverMany | ((DeliverDevice | DeliverTopic) & { readonly epoch: NonNullable<DeliverDevice['epoch']> });

/** Notes how far the streams reach; answers as if the entries had been read soon after. */
export function hearOnly(gateway: Gateway, frame: Held): LinkFrame {
  const { seq } = frame;
  gateway.counts.hintsHeld++;
  if (frame.kind === 'deliver-many') {
    const { app, bootId, lane, rows } = frame;
    const isHere = rows.map((row) => hearDevice(gateway, { app, bootId, lane, ...row }));
    return { kind: 'answer-many', seq, notHere: rows.flatMap((_, at) => (isHere[at] ? [] : [at])), slow: [] };
  }
  if (frame.kind === 'deliver-device') {
    const outcome: Answer['outcome'] = hearDevice(gateway, frame) ? 'taken' : 'not-here';
    return { kind: 'answer', seq, outcome, sessions: outcome === 'taken' ? 1 : 0 };
  }
  const channel = gateway.directory.find(frame.app)?.channels.get(frame.topic);
  if (channel !== undefined) hear(channel, frame.epoch, frame.offset);
  return { kind: 'answer', seq, outcome: 'taken', sessions: channel?.members ?? 0 };
}

/** False: no such session in this life. */
function hearDevice(
  gateway: Gateway,
  {
    app,
    device,
    bootId,
    lane,
    epoch,
    offset,
  }: Pick<DeliverDevice, 'app' | 'device' | 'bootId' | 'lane' | 'offset'> & {
    readonly epoch: NonNullable<DeliverDevice['epoch']>;
  },
): boolean {
  if (bootId !== gateway.bootId) return false;
  const here = gateway.directory.find(app);
  if (here === null) return false;
  const isOpening = hearEarly(here, { device, lane, epoch, offset });
  const connection = here.devices.get(device);
  if (connection === undefined || connection.phase === 'opening') return isOpening;
  hearLane(connection, { lane, epoch, head: offset });
  return true;
}
