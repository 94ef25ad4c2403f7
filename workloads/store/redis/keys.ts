// Where things are in Redis. Everything of a device, topic, account, token or idempotency key lives in one of 4096 buckets, chosen
// by a hash of its name; `{bucket}` is the hash tag, so a script about one of them touches one slot. A bucket's rows are packed in
// hashes, four shards each, so that hashes stay small enough for Redis's compact form (listpack): 1M devices are 61 rows a hash.
//
//   {b}sd        hash  app/device → account, generation, revoked at, life, connected at      s: shard 0–3
//   {b}su        hash  app/device → subscriptions with cursors, packed
//   {b}so        zset  app/device with rows among these that do not stand → since when
//   {b}sa        hash  app/account → devices, packed
//   {b}sx        zset  stream → when an entry or message id of it is due to go
//   {b}sm<stream> hash: meta, message ids seen and what became of them · {b}se<stream> list: entries
//                      where <stream> is h/, n/ or l/ app/device, or t/app/topic
//   {b}sv<app/topic>  zset of subscribers, by name · {b}sV<…> string: one that left, until limits.cutShortMs after its row is gone
//   {b}sk<app/token> · {b}sq<app/key> · {b}sz<app/device>   token, idempotency key, closed device: strings with a TTL
//   {b}si<app/id> · {b}sb<app/id> · {b}sj<app/id>/<n>   message, its whole record, chunk of its recipients: strings with a TTL
//   {b}sg<app/group> string · {b}sG<app/group> zset of members
//   {b}c         hash  the lives that have routes in this bucket, numbered, with their counts
//   {b}l         hash  counters of the ledger        {b}y  hash  dead letters · {b}w  zset of them by time
//   {b}J         hash  jobs · {b}T  zset of them by when they are due; only in buckets 0–15 · {b}NJ, {b}NT notices · {b}PJ, {b}PT spans
//   {0}L         hash  gateway → lease · {0}Lrouter, {0}Ldrainer   hash  boot id → lease of that role
//   {b}S         hash  the store id of the node that holds bucket b
import type { AccountId, AppId, DeviceId, TopicName } from '../../protocol/ids.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { JobQueue, RoleLease, StreamRef } from '../port.ts';

export const BUCKETS = 4096;
export const SHARDS = 4;

/** A place: the bucket, the prefix `{bucket}shard`, and the name within. */
export interface Place {
  readonly bucket: number;
  readonly prefix: string;
  readonly name: string;
}

export const LANE_LETTERS: Readonly<Record<Lane, string>> = { high: 'h', normal: 'n', low: 'l' };
export const LANE_OF: Readonly<Record<string, Lane>> = { h: 'high', n: 'normal', l: 'low' };

/** FNV-1a over UTF-16 units, mixed so that low and high bits both spread. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}

function place(name: string): Place {
  const h = hash(name);
  const bucket = h % BUCKETS;
  return { bucket, prefix: `{${bucket}}${(h >>> 12) % SHARDS}`, name };
}

export function devicePlace(app: AppId, device: DeviceId): Place {
  return place(`${app}/${device}`);
}
export function topicPlace(app: AppId, topic: TopicName): Place {
  return place(`${app}/${topic}`);
}
export function accountPlace(app: AppId, account: AccountId): Place {
  return place(`${app}/${account}`);
}
/** For token ids and idempotency keys: any text. */
export function textPlace(app: AppId, text: string): Place {
  return place(`${app}/${text}`);
}

/** The key of a stream's meta; scripts derive the stream's other keys from it. */
export function streamKey(ref: StreamRef): { bucket: number; key: string } {
  if (ref.kind === 'topic') {
    const at = topicPlace(ref.app, ref.topic);
    return { bucket: at.bucket, key: `${at.prefix}mt/${at.name}` };
  }
  const at = devicePlace(ref.app, ref.device);
  return { bucket: at.bucket, key: `${at.prefix}m${LANE_LETTERS[ref.lane]}/${at.name}` };
}

/** A key of one letter before a name: `k` tokens, `q` idempotency keys, `i` messages, `b` records, `j` chunks, `g` groups. */
export function textKey(letter: string, app: AppId, text: string): { bucket: number; key: string } {
  const { bucket, prefix, name } = textPlace(app, text);
  return { bucket, key: `${prefix}${letter}${name}` };
}

export const LEASES = { bucket: 0, key: '{0}L' } as const;
export function roleLeasesKey(role: RoleLease['role']): { bucket: number; key: string } {
  return { bucket: 0, key: `{0}L${role}` };
}

/** Buckets that jobs are in. */
export const JOB_BUCKETS = 16;
const QUEUE_LETTERS: Readonly<Record<JobQueue, string>> = { work: '', notices: 'N', spans: 'P' };
export function jobKey(bucket: number, queue: JobQueue): string {
  return `{${bucket}}${QUEUE_LETTERS[queue]}J`;
}
export function jobPlace(app: AppId, id: string, queue: JobQueue): { bucket: number; key: string; name: string } {
  const bucket = hash(`${app}/${id}`) % JOB_BUCKETS;
  return { bucket, key: jobKey(bucket, queue), name: `${app}/${id}` };
}

/** Every bucket once, from `first` on. */
export function allBuckets(first = 0): readonly number[] {
  return Array.from({ length: BUCKETS }, (_, i) => (first + i) % BUCKETS);
}

/** CRC16 (XMODEM), as Redis Cluster hashes tags. */
function crc16(text: string): number {
  let crc = 0;
  for (let i = 0; i < text.length; i++) {
    crc ^= text.charCodeAt(i) << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? (crc << 1) & 0xffff : ((crc << 1) ^ 0x1021) & 0xffff;
  }
  return crc;
}

/** Bucket → hash slot of a Redis Cluster. */
export const BUCKET_SLOTS: Uint16Array = Uint16Array.from(
  { length: BUCKETS },
  (_, bucket) => crc16(`${bucket}`) % 16_384,
);
