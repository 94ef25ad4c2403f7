// What the link's tests and those of roles that use links are built from: keys, one frame of each kind, a seeded chance. Tests only.
import { randomBytes } from 'node:crypto';
import type { SymmetricKey } from '../protocol/credentials.ts';
import type { AppId, BootId, DeviceId, Epoch, TopicName } from '../protocol/ids.ts';
import type { DeliverDevice, LinkFrame } from '../protocol/link.ts';

export function aLinkKey(kid = 'k1'): SymmetricKey {
  return { kid, secret: randomBytes(32).toString('base64url'), createdAt: '2027-01-15T08:00:00Z' };
}

export function aDelivery(over: Partial<DeliverDevice> = {}): DeliverDevice {
  return {
    kind: 'deliver-device',
    seq: 1,
    app: 'shop' as AppId,
    device: 'phone-1' as DeviceId,
    bootId: 'boot-1' as BootId,
    lane: 'normal',
    epoch: 'e1' as Epoch,
    offset: 7,
    prev: 6,
    record: new Uint8Array(Buffer.from('record')),
    ...over,
  };
}

/** Every kind, with the edges of its fields. */
export const EVERY_FRAME: readonly LinkFrame[] = [
  aDelivery({ seq: 2 ** 52, lane: 'low', offset: 2 ** 40, prev: 2 ** 40 - 1 }),
  aDelivery({ device: 'gerät-❄' as DeviceId, epoch: null, offset: 0, prev: 0, record: new Uint8Array(5000).fill(7) }),
  {
    kind: 'deliver-topic',
    seq: 3,
    app: 'shop' as AppId,
    topic: '$all' as TopicName,
    epoch: null,
    offset: 0,
    prev: 0,
    stamp: 1_800_000_000_000_001,
    record: new Uint8Array(0),
  },
  { kind: 'answer', seq: 4, outcome: 'slow', sessions: 0xffff_ffff },
  { kind: 'answer', seq: 0, outcome: 'taken', sessions: 0 },
  { kind: 'replaced', app: 'shop' as AppId, device: 'd' as DeviceId, generation: 12, resumed: true },
  { kind: 'replaced', app: 'shop' as AppId, device: 'd' as DeviceId, generation: 13, resumed: false },
  { kind: 'ping', seq: 0 },
  { kind: 'pong', seq: 9 },
];

/** Records as plain numbers, so that views and arrays compare. */
export function plain(frames: readonly LinkFrame[]): readonly unknown[] {
  return frames.map((frame) => ('record' in frame ? { ...frame, record: [...frame.record] } : frame));
}

/** A seeded chance, 0 ≤ x < 1 (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
