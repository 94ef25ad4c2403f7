// Deliveries that go over the bus instead of a link (C7), as one record: who it is for stands in the headers, so that a gateway passes it
// over without touching the value (C6); the value is link frames, as a link would carry them. The router writes them (router/broadcast.ts),
// each gateway's broadcast consumer reads them and hands the frames to the same code as those of links.
import { BUS_TOPICS } from '../bus/port.ts';
import type { BusRecord } from '../bus/port.ts';
import type { AppId, BootId, DeviceId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { DeliverDevice, DeliverMany, DeliverTopic } from '../protocol/link.ts';
import { decodeFrame } from './codec.ts';
import { FrameWriter } from './frame-writer.ts';
import { Framer } from './framer.ts';

export type BroadcastFrame = DeliverDevice | DeliverTopic | DeliverMany;

/** Header names. Names and ids have no comma (protocol/ids.ts). */
export const BROADCAST_HEADERS = {
  app: 'app',
  /** Boot ids, comma between; those that have one of `devices` take it too. Left out: every gateway. */
  gateways: 'gateways',
  /** Device ids, comma between; left out: for topics. */
  devices: 'devices',
  /** When it was sent, ms since 1970, and whether it is live: then it is dropped once it is old. */
  sentAtMs: 'sent-at-ms',
  live: 'live',
} as const;

/** Device ids in one record at most: 64 KB at 128 characters. */
export const BROADCAST_DEVICES_MAX = 500;
/** A live message that waited longer on the bus is dropped by its readers. */
export const BROADCAST_LIVE_MS = 10_000;

export interface BroadcastAddress {
  /** Records of one key keep their order: the stream's name. */
  readonly key: string;
  readonly app: AppId;
  /** For topics: the gateways whose links fail; empty: all. */
  readonly gateways: readonly BootId[];
  /** For devices, wherever they are; empty: for topics. */
  readonly devices: readonly DeviceId[];
  readonly sentAtMs: number;
  readonly live: boolean;
}

/** Throws RangeError for more devices than a record may name, LinkFrameError for a frame that is too large. */
export function encodeBroadcast(address: BroadcastAddress, frames: readonly BroadcastFrame[]): BusRecord {
  const { key, app, gateways, devices, sentAtMs, live } = address;
  if (devices.length > BROADCAST_DEVICES_MAX)
    throw new RangeError(`expected at most ${BROADCAST_DEVICES_MAX} devices, got ${devices.length}`);
  const writer = new FrameWriter();
  for (const frame of frames) writer.write(frame);
  return {
    topic: BUS_TOPICS.broadcast,
    key,
    headers: {
      [BROADCAST_HEADERS.app]: app,
      ...(gateways.length === 0 ? {} : { [BROADCAST_HEADERS.gateways]: gateways.join(',') }),
      ...(devices.length === 0 ? {} : { [BROADCAST_HEADERS.devices]: devices.join(',') }),
      [BROADCAST_HEADERS.sentAtMs]: String(sentAtMs),
      ...(live ? { [BROADCAST_HEADERS.live]: '1' } : {}),
    },
    value: writer.take(),
  };
}

/**
 * Whether a gateway wants a record, by its headers alone.
 * @param gateway.has whether the device is, or is about to be, at this gateway
 */
export function isBroadcastFor(
  headers: Readonly<Record<string, string>>,
  gateway: { readonly bootId: BootId; readonly nowMs: number; has(app: AppId, device: DeviceId): boolean },
): boolean {
  const { app = '', gateways, devices, [BROADCAST_HEADERS.sentAtMs]: sentAtMs, live } = headers;
  if (live !== undefined && gateway.nowMs - Number(sentAtMs) > BROADCAST_LIVE_MS) return false;
  if (devices === undefined) return gateways === undefined || isListed(gateways, gateway.bootId);
  return devices.split(',').some((device) => gateway.has(app as AppId, device as DeviceId));
}

/** The frames of a record, as if a link had brought them to this life of a gateway. Throws LinkFrameError. */
export function decodeBroadcast(value: Uint8Array, bootId: BootId): readonly BroadcastFrame[] {
  const frames: BroadcastFrame[] = [];
  new Framer(LIMITS.linkFrameBytesMax).feed(Buffer.from(value.buffer, value.byteOffset, value.length), (payload) => {
    const frame = decodeFrame(payload);
    if (frame.kind === 'deliver-topic') frames.push(frame);
    else if (frame.kind === 'deliver-device' || frame.kind === 'deliver-many') frames.push({ ...frame, bootId });
  });
  return frames;
}

function isListed(list: string, name: string): boolean {
  return list === name || list.split(',').includes(name);
}
