// A payload of a link → a frame of protocol/link.ts whose record is a view into the bytes that came. framer.ts cuts payloads out of what
// comes; frame-writer.ts is the other direction.
import type { AccountId, AppId, BootId, DeviceId, Epoch, TopicName } from '../protocol/ids.ts';
import type { LinkFrame } from '../protocol/link.ts';
import { LANES } from '../protocol/streams.ts';
import type { NotRecoveredReason } from '../protocol/streams.ts';
import { FORWARDED, KIND, LinkFrameError, OUTCOMES } from './frame-kinds.ts';
import { PayloadReader } from './framer.ts';

/** One payload → frame. `record` is a view into it. Ids are trusted: the peer has proved the link key. Throws LinkFrameError. */
export function decodeFrame(payload: Buffer): LinkFrame {
  const reader = new PayloadReader(payload);
  let frame: LinkFrame;
  try {
    frame = readFrame(reader);
  } catch (error) {
    if (error instanceof RangeError) throw new LinkFrameError('malformed', 'a field runs past the end of its frame');
    throw error;
  }
  if (reader.at !== payload.length)
    throw new LinkFrameError('malformed', `expected ${reader.at} bytes for ${frame.kind}, got ${payload.length}`);
  return frame;
}

function readFrame(r: PayloadReader): LinkFrame {
  const kind = r.byte();
  switch (kind) {
    case KIND['deliver-device']:
      return {
        kind: 'deliver-device',
        seq: r.number(),
        app: r.text() as AppId,
        device: r.text() as DeviceId,
        bootId: r.text() as BootId,
        lane: r.choice(LANES),
        epoch: r.epoch(),
        offset: r.number(),
        prev: r.number(),
        stamp: r.number(),
        record: r.raw(),
      };
    case KIND['deliver-topic']:
      return {
        kind: 'deliver-topic',
        seq: r.number(),
        app: r.text() as AppId,
        topic: r.text() as TopicName,
        epoch: r.epoch(),
        offset: r.number(),
        prev: r.number(),
        stamp: r.number(),
        record: r.raw(),
      };
    case KIND.answer:
      return { kind: 'answer', seq: r.number(), outcome: r.choice(OUTCOMES), sessions: r.count() };
    case KIND.replaced:
      return {
        kind: 'replaced',
        app: r.text() as AppId,
        device: r.text() as DeviceId,
        generation: r.number(),
        resumed: r.choice([false, true]),
      };
    case KIND.ping:
      return { kind: 'ping', seq: r.number() };
    case KIND.pong:
      return { kind: 'pong', seq: r.number() };
    default:
      return readRest(r, kind);
  }
}

function readRest(r: PayloadReader, kind: number): LinkFrame {
  switch (kind) {
    case KIND['deliver-many']:
      return {
        kind: 'deliver-many',
        seq: r.number(),
        app: r.text() as AppId,
        bootId: r.text() as BootId,
        lane: r.choice(LANES),
        record: r.raw(),
        rows: r.list(() => ({
          device: r.text() as DeviceId,
          epoch: r.text() as Epoch,
          offset: r.number(),
          prev: r.number(),
        })),
      };
    case KIND['answer-many']:
      return {
        kind: 'answer-many',
        seq: r.number(),
        notHere: r.list(() => r.count()),
        slow: r.list(() => r.count()),
      };
    case KIND.command:
      return {
        kind: 'command',
        seq: r.number(),
        op: r.text(),
        app: r.text() as AppId | '',
        account: r.text() as AccountId | '',
        device: r.text() as DeviceId | '',
        body: r.raw(),
      };
    case KIND.reply:
      return { kind: 'reply', seq: r.number(), status: r.count(), body: r.raw() };
    case KIND['forward-live']:
      return {
        kind: 'forward-live',
        seq: r.number(),
        app: r.text() as AppId,
        topic: r.text() as TopicName | '',
        device: r.text() as DeviceId | '',
        lane: r.choice(LANES),
        floor: r.number(),
        record: r.raw(),
      };
    case KIND.forwarded:
      return {
        kind: 'forwarded',
        seq: r.number(),
        outcome: r.choice(FORWARDED),
        gateways: r.count(),
        bootId: r.text() as BootId | '',
        stamp: r.number(),
      };
    case KIND['feed-request']:
      return {
        kind: 'feed-request',
        seq: r.number(),
        app: r.text() as AppId,
        device: r.text() as DeviceId,
        lane: r.choice(LANES),
        epoch: r.epoch(),
        offset: r.number(),
        entriesMax: r.count(),
      };
    case KIND.feed:
      return {
        kind: 'feed',
        seq: r.number(),
        epoch: r.epoch(),
        notRecovered: r.text() as NotRecoveredReason | '',
        from: r.number(),
        head: r.number(),
        complete: r.choice([false, true]),
        entries: r.list(() => ({ offset: r.number(), prev: r.number(), record: r.raw() })),
      };
    case KIND['feed-later']:
      return { kind: 'feed-later', seq: r.number(), retryAfterMs: r.number() };
    default:
      throw new LinkFrameError('unknown-kind', `expected a kind of 1–15, got ${kind}`);
  }
}
