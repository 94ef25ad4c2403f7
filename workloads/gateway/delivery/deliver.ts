// Frames that come over links: deliveries from routers, and word from other gateways that a session moved. role.ts starts the link
// server with this. Each delivery is answered: `taken` (it was written, or the session gets it by a read), `slow` (a live message is kept
// back, late-live.ts), `not-here`. A lost answer costs the router a look-up, never a message.
import type { AppId, DeviceId, Epoch } from '../../protocol/ids.ts';
import type { Answer, DeliverDevice, DeliverMany, DeliverTopic, LinkFrame, Replaced } from '../../protocol/link.ts';
import { InvalidRecordError, decodeRecord } from '../../protocol/record.ts';
import type { MessageRecord } from '../../protocol/record.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { LaneHead } from '../../store/port.ts';
import type { Connection } from '../connect/connection.ts';
import type { AppHere } from '../connect/directory.ts';
import { Cursor, decideHint, hear, isBehind } from '../endings/cursor.ts';
import type { HeardStream } from '../endings/cursor.ts';
import { MessageEncoder } from './encode.ts';
import { fanOutDurable, fanOutLive } from './fanout.ts';
import type { Gateway } from '../gateway.ts';
import { keepLate } from './late-live.ts';
import { isNewerLive } from './live-order.ts';
import { windowOf } from '../endings/window.ts';
import { writeEntry } from './write-entry.ts';

/** Who sent a frame, and takes the answer. */
export interface LinkPeer {
  send(frame: LinkFrame): unknown;
}
type Outcome = Pick<Answer, 'outcome' | 'sessions'>;
const NOT_HERE: Outcome = { outcome: 'not-here', sessions: 0 };
const TAKEN: Outcome = { outcome: 'taken', sessions: 1 };
const SLOW: Outcome = { outcome: 'slow', sessions: 0 };

/** Handles one frame of a link. */
export function takeLinkFrame(gateway: Gateway, peer: LinkPeer, frame: LinkFrame): void {
  if (frame.kind === 'replaced') closeReplaced(gateway, frame);
  else if (frame.kind === 'deliver-many') takeMany(gateway, peer, frame);
  if (frame.kind !== 'deliver-device' && frame.kind !== 'deliver-topic') return;
  const { outcome, sessions } = deliver(gateway, frame);
  count(gateway, outcome);
  peer.send({ kind: 'answer', seq: frame.seq, outcome, sessions });
}

function deliver(gateway: Gateway, frame: DeliverDevice | DeliverTopic): Outcome {
  try {
    return frame.kind === 'deliver-topic' ? deliverTopic(gateway, frame) : deliverDevice(gateway, frame);
  } catch (error) {
    noteUnreadable(gateway, error);
    return NOT_HERE;
  }
}

/** One message for many devices: its record is decoded once. Answers which were not taken. */
function takeMany(gateway: Gateway, peer: LinkPeer, frame: DeliverMany): void {
  const notHere: number[] = [];
  try {
    const decoded = decodeRecord(frame.record);
    const { app, bootId, lane, record } = frame;
    frame.rows.forEach((row, at) => {
      const outcome = deliverDevice(gateway, { app, bootId, lane, record, stamp: 0, ...row }, decoded);
      count(gateway, outcome.outcome);
      if (outcome === NOT_HERE) notHere.push(at);
    });
  } catch (error) {
    noteUnreadable(gateway, error);
  }
  peer.send({ kind: 'answer-many', seq: frame.seq, notHere, slow: [] });
}

function noteUnreadable(gateway: Gateway, error: unknown): void {
  if (!(error instanceof InvalidRecordError)) throw error;
  gateway.counts.invalidRecords++;
  gateway.log.error({ problem: error.message }, 'record on a link not readable');
}

function deliverTopic(gateway: Gateway, frame: DeliverTopic): Outcome {
  const channel = gateway.directory.find(frame.app)?.channels.get(frame.topic);
  if (channel === undefined) return { outcome: 'taken', sessions: 0 };
  const sessions =
    frame.epoch === null
      ? fanOutLive(gateway, channel, frame)
      : fanOutDurable(gateway, channel, frame as DeliverTopic & { epoch: Epoch });
  return { outcome: 'taken', sessions };
}

type ToDevice = Omit<DeliverDevice, 'kind' | 'seq'>;
type Durable = ToDevice & { readonly epoch: Epoch };

/** @param record decoded already, where one record goes to many */
function deliverDevice(gateway: Gateway, frame: ToDevice, record?: MessageRecord): Outcome {
  if (frame.bootId !== gateway.bootId) return NOT_HERE;
  const app = gateway.directory.find(frame.app);
  if (app === null) return NOT_HERE;
  const connection = app.devices.get(frame.device);
  const isHeard = frame.epoch !== null && hearEarly(app, frame as Durable);
  if (connection === undefined || connection.phase === 'opening') return isHeard ? TAKEN : NOT_HERE; // live ones come too early
  if (frame.epoch === null) return deliverLive(gateway, connection, frame);
  deliverDurable(gateway, connection, frame as Durable, record);
  return TAKEN;
}

/** Whether a session of the device is being opened: it reads this far once it lives (early-hints.ts). */
export function hearEarly(
  { opening }: AppHere,
  { device, lane, epoch, offset }: Pick<Durable, 'device' | 'lane' | 'epoch' | 'offset'>,
): boolean {
  const hints = opening.size === 0 ? undefined : opening.get(device);
  hints?.hear(lane, epoch, offset);
  return hints !== undefined;
}

function deliverLive(gateway: Gateway, connection: Connection, frame: ToDevice): Outcome {
  const session = connection.session!;
  if (session.backlog?.parks(frame.lane) === true) return TAKEN; // it does not want that lane now
  if (!isNewerLive(frame.stamp, session.liveStamp)) {
    gateway.counts.outdatedLive++;
    return TAKEN;
  }
  session.liveStamp = frame.stamp;
  const encoder = new MessageEncoder(`@${frame.lane}`, 0, frame.record);
  if (gateway.outbox.offer(connection, encoder.frame(0)) === 'slow') {
    keepLate(gateway, connection, encoder);
    return SLOW;
  }
  gateway.counts.deliveredLive++;
  return TAKEN;
}

function deliverDurable(gateway: Gateway, connection: Connection, frame: Durable, record?: MessageRecord): void {
  const cursor = laneCursor(connection, frame.lane);
  hear(cursor.stream, frame.epoch, frame.offset);
  const decision = decideHint(cursor, frame, windowOf(gateway, connection));
  if (decision === 'read') return gateway.reader.want(connection, cursor, 'gap');
  if (decision !== 'deliver') return;
  // The first of a lane is read: a route that a router remembers may be that of another account, and the read finds out.
  if (cursor.epoch === null) return gateway.reader.want(connection, cursor, 'now');
  const encoder = new MessageEncoder(cursor.name, frame.offset, record ?? frame.record);
  if (encoder.isBodyMissing) gateway.reader.want(connection, cursor, 'now');
  else writeEntry(gateway, connection, cursor, encoder);
}

/** The cursor of a device's lane; made with the first message of a lane that nobody had written. */
export function laneCursor(connection: Connection, lane: Lane): Cursor {
  const session = connection.session!;
  let cursor = session.find(`@${lane}`);
  if (cursor === null) session.add((cursor = new Cursor(`@${lane}`, { epoch: null, head: 0 })));
  return cursor;
}

/** A lane reaches at least this far. Answers its cursor. */
export function hearLane(connection: Connection, { lane, epoch, head }: LaneHead): Cursor {
  const cursor = laneCursor(connection, lane);
  hear(cursor.stream, epoch, head);
  return cursor;
}

/** How far lanes reach, as was heard while the session could not take hints: what it has not got is read. */
export function catchUp(gateway: Gateway, connection: Connection, heard: Iterable<readonly [Lane, HeardStream]>): void {
  for (const [lane, { epoch, head }] of heard) {
    if (epoch === null) continue;
    const cursor = hearLane(connection, { lane, epoch, head });
    if (isBehind(cursor)) gateway.reader.want(connection, cursor, 'now');
  }
}

/** The device of an app at this gateway, when an older session of it than `generation` is here. */
function olderSession(
  gateway: Gateway,
  at: { app: AppId; device: DeviceId; generation: number },
): Connection | undefined {
  const connection = gateway.directory.find(at.app)?.devices.get(at.device);
  const generation = connection?.session?.generation;
  return generation !== undefined && generation < at.generation ? connection : undefined;
}

/** A newer session stands: the older one ends, and its acks no longer count (R8). */
export function closeReplaced(gateway: Gateway, newer: Omit<Replaced, 'kind'>): void {
  const connection = olderSession(gateway, newer);
  if (connection?.session === undefined || connection.session === null) return;
  connection.session.superseded = true;
  connection.close(newer.resumed ? 'superseded' : 'replaced');
}

function count(gateway: Gateway, outcome: Answer['outcome']): void {
  const { hints } = gateway.counts;
  if (outcome === 'taken') hints.taken++;
  else if (outcome === 'slow') hints.slow++;
  else hints.notHere++;
}
