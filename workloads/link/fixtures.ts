// What the link's tests and those of roles that use links are built from: keys, one frame of each kind, a seeded chance. Tests only.
import { randomBytes } from 'node:crypto';
import type { SymmetricKey } from '../protocol/credentials.ts';
import type { AccountId, AppId, BootId, DeviceId, Epoch, TopicName } from '../protocol/ids.ts';
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
    stamp: 0,
    record: new Uint8Array(Buffer.from('record')),
    ...over,
  };
}

/** Every kind, with the edges of its fields. */
export const EVERY_FRAME: readonly LinkFrame[] = [
  aDelivery({ seq: 2 ** 52, lane: 'low', offset: 2 ** 40, prev: 2 ** 40 - 1 }),
  aDelivery({
    device: 'gerät-❄' as DeviceId,
    epoch: null,
    offset: 0,
    prev: 0,
    stamp: 2 ** 51,
    record: new Uint8Array(5000).fill(7),
  }),
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
  {
    kind: 'deliver-many',
    seq: 10,
    app: 'shop' as AppId,
    bootId: 'boot-1' as BootId,
    lane: 'high',
    record: new Uint8Array(3).fill(1),
    rows: [
      { device: 'a' as DeviceId, epoch: 'e1' as Epoch, offset: 1, prev: 0 },
      { device: 'gerät-❄' as DeviceId, epoch: 'e2' as Epoch, offset: 2 ** 40, prev: 2 ** 40 - 1 },
    ],
  },
  {
    kind: 'deliver-many',
    seq: 11,
    app: 'shop' as AppId,
    bootId: 'boot-1' as BootId,
    lane: 'low',
    record: new Uint8Array(0),
    rows: [],
  },
  { kind: 'answer-many', seq: 12, notHere: [0, 499, 0xffff_ffff], slow: [] },
  { kind: 'answer-many', seq: 13, notHere: [], slow: [3] },
  {
    kind: 'command',
    seq: 14,
    op: 'send',
    app: 'shop' as AppId,
    account: 'ada' as AccountId,
    device: 'd' as DeviceId,
    body: new Uint8Array(2).fill(9),
  },
  { kind: 'command', seq: 15, op: 'auth', app: '', account: '', device: '', body: new Uint8Array(0) },
  { kind: 'reply', seq: 16, status: 202, body: new Uint8Array(300).fill(5) },
  {
    kind: 'forward-live',
    seq: 17,
    app: 'shop' as AppId,
    topic: 'news' as TopicName,
    device: '',
    lane: 'normal',
    floor: 1_800_000_000_000_001,
    record: new Uint8Array(1),
  },
  {
    kind: 'forward-live',
    seq: 18,
    app: 'shop' as AppId,
    topic: '',
    device: 'd' as DeviceId,
    lane: 'high',
    floor: 0,
    record: new Uint8Array(1),
  },
  { kind: 'forwarded', seq: 18, outcome: 'busy', gateways: 3, bootId: '', stamp: 1_800_000_000_000_002 },
  { kind: 'forwarded', seq: 0, outcome: 'sent', gateways: 1, bootId: 'boot-1' as BootId, stamp: 0 },
  {
    kind: 'feed-request',
    seq: 19,
    app: 'shop' as AppId,
    device: 'd' as DeviceId,
    lane: 'low',
    epoch: null,
    offset: 0,
    entriesMax: 500,
  },
  {
    kind: 'feed',
    seq: 20,
    epoch: 'e1' as Epoch,
    notRecovered: 'trimmed',
    from: 7,
    head: 9,
    complete: false,
    entries: [
      { offset: 8, prev: 7, record: new Uint8Array(4) },
      { offset: 9, prev: 8, record: new Uint8Array(0) },
    ],
  },
  { kind: 'feed', seq: 21, epoch: null, notRecovered: '', from: 0, head: 0, complete: true, entries: [] },
  { kind: 'feed-later', seq: 22, retryAfterMs: 1500 },
];

/** Bytes as plain numbers, so that views and arrays compare. */
export function plain(frames: readonly LinkFrame[]): readonly unknown[] {
  return frames.map((frame) => {
    if ('record' in frame) return { ...frame, record: [...frame.record] };
    if ('body' in frame) return { ...frame, body: [...frame.body] };
    if (frame.kind === 'feed')
      return { ...frame, entries: frame.entries.map((entry) => ({ ...entry, record: [...entry.record] })) };
    return frame;
  });
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
