// Record by record: what the publisher was told is accepted against what each client's application was given. Pure; report.ts reads the logs.
// Durable: each recipient exactly once and in order for each stream, or it is a dead letter. Live: counted, not owed.
import type { TopicFilter } from '../../workloads/protocol/frames.ts';
import { deviceNames } from './names.ts';
import type { DeviceRange } from './names.ts';
import type { ReceivedLine } from './received-log.ts';

/** One accepted publication, as the publisher logged it. */
export interface Published {
  readonly id: string;
  /** The publisher's: in the body too, so that it is known under whatever id it is delivered. */
  readonly key?: string;
  readonly class: 'durable' | 'live';
  readonly to: Recipient;
  /** When it was first sent, ms. */
  readonly tMs: number;
  /** What filters look at. */
  readonly attributes?: Attributes;
}
export interface Attributes {
  readonly level?: number;
  readonly type?: string;
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
}
export type Recipient =
  | { readonly device: string }
  | { readonly account: string }
  | { readonly topic: string }
  | { readonly everyone: true }
  /** Each of these devices, by a list or a group. */
  | { readonly list: DeviceRange };

/** A delivery that ended as a dead letter. */
export interface Dead {
  readonly messageId: string;
  readonly device: string;
}
export interface Audience {
  readonly devices: readonly string[];
  /** Devices of an account; default: `dev-X` of `acc-X`. */
  readonly accounts?: ReadonlyMap<string, readonly string[]>;
  /** Devices that heard the topic all the time; default: all. */
  readonly topics?: ReadonlyMap<string, readonly string[]>;
  /** Whether a device wants this message of a topic; default: each does. `passes` tells of a filter. */
  readonly wants?: (device: string, message: Published) => boolean;
}
/** What else is known of the publications. */
export interface Known {
  readonly dead?: readonly Dead[];
  /** Keys whose outcome stayed unknown: what came of them is neither owed nor strange. */
  readonly unknownKeys?: ReadonlySet<string>;
}
export interface Finding {
  readonly id: string;
  readonly device: string;
  /** When it was published, ms: shows what happened around then. */
  readonly tMs: number;
}
export interface Comparison {
  /** Accepted publications, and the durable deliveries that they owe. */
  readonly published: number;
  readonly owed: number;
  /** Durable deliveries made, each counted once. */
  readonly delivered: number;
  /** Of those owed, that are dead letters, and were not delivered. */
  readonly dead: number;
  /** Dealt with by the application, and a dead letter all the same: its last ack was lost. */
  readonly deadThoughDelivered: number;
  readonly lost: readonly Finding[];
  /** Given to the same application more than once; one finding for each time too many. */
  readonly doubled: readonly Finding[];
  /** Messages given after a later one of the same stream and epoch. */
  readonly outOfOrder: number;
  /** Given to an application although its message was not for it, or never accepted. */
  readonly strangers: number;
  readonly live: { readonly owed: number; readonly delivered: number };
  /** Publisher's first sending to application, over all durable deliveries; null: there were none. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** Cost: O(deliveries). */
export function compare(
  published: readonly Published[],
  logs: ReadonlyMap<string, readonly ReceivedLine[]>,
  audience: Audience,
  known: Known = {},
): Comparison {
  const find = finder(published);
  const given = new Map<string, Map<string, number>>();
  const latencies: number[] = [];
  const doubled: Finding[] = [];
  let outOfOrder = 0;
  let strangers = 0;
  let liveDelivered = 0;
  for (const [device, lines] of logs) {
    const times = new Map<string, number>();
    given.set(device, times);
    outOfOrder += countOutOfOrder(lines);
    for (const line of lines) {
      const message = find(line);
      const id = message?.id ?? line.key ?? line.id;
      const seen = times.get(id) ?? 0;
      times.set(id, seen + 1);
      if (seen > 0) doubled.push({ id, device, tMs: message?.tMs ?? line.tMs });
      else if (message === undefined) strangers += known.unknownKeys?.has(line.key ?? '') === true ? 0 : 1;
      else if (message.class === 'live') liveDelivered++;
      else latencies.push(line.tMs - message.tMs);
    }
  }
  const settled = settle(published, given, { audience, dead: known.dead ?? [] });
  strangers += latencies.length + liveDelivered - settled.matched;
  latencies.sort((a, b) => a - b);
  return {
    published: published.length,
    owed: settled.owed,
    delivered: settled.owed - settled.lost.length - settled.dead,
    dead: settled.dead,
    deadThoughDelivered: settled.deadThoughDelivered,
    lost: settled.lost,
    doubled,
    outOfOrder,
    strangers,
    live: { owed: settled.liveOwed, delivered: liveDelivered },
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    maxMs: latencies.at(-1) ?? null,
  };
}

/** By the id it was accepted under, else by its key: a re-driven dead letter has another id. */
function finder(published: readonly Published[]): (line: ReceivedLine) => Published | undefined {
  const byId = new Map(published.map((message) => [message.id, message]));
  const byKey = new Map(published.flatMap((message) => (message.key === undefined ? [] : [[message.key, message]])));
  return ({ id, key }) => byId.get(id) ?? (key === null ? undefined : byKey.get(key));
}

function settle(
  published: readonly Published[],
  given: ReadonlyMap<string, ReadonlyMap<string, number>>,
  more: { readonly audience: Audience; readonly dead: readonly Dead[] },
) {
  const dead = new Set(more.dead.map(({ messageId, device }) => `${messageId} ${device}`));
  const found = { owed: 0, liveOwed: 0, lost: [] as Finding[], matched: 0, dead: 0, deadThoughDelivered: 0 };
  for (const message of published) {
    for (const device of devicesOf(message, more.audience)) {
      const has = given.get(device)?.has(message.id) === true;
      const isDead = dead.has(`${message.id} ${device}`);
      if (has) found.matched++;
      if (message.class === 'live') found.liveOwed++;
      else {
        found.owed++;
        if (has && isDead) found.deadThoughDelivered++;
        else if (isDead) found.dead++;
        else if (!has) found.lost.push({ id: message.id, device, tMs: message.tMs });
      }
    }
  }
  return found;
}

function devicesOf(message: Published, audience: Audience): readonly string[] {
  const { to } = message;
  if ('device' in to) return [to.device];
  if ('list' in to) return deviceNames(to.list);
  if ('account' in to) return audience.accounts?.get(to.account) ?? [to.account.replace(/^acc-/, 'dev-')];
  if ('everyone' in to) return audience.devices;
  const hearers = audience.topics?.get(to.topic) ?? audience.devices;
  const { wants } = audience;
  return wants === undefined ? hearers : hearers.filter((device) => wants(device, message));
}

/** What a filter lets through, told apart from how the gateway does it. */
export function passes({ levelMin, types, fields }: TopicFilter, attributes: Attributes = {}): boolean {
  if (levelMin !== undefined && (attributes.level ?? 0) < levelMin) return false;
  if (types !== undefined && (attributes.type === undefined || !types.includes(attributes.type))) return false;
  return Object.entries(fields ?? {}).every(([name, values]) => {
    const value = attributes.fields?.[name];
    return value !== undefined && values.includes(value);
  });
}

function countOutOfOrder(lines: readonly ReceivedLine[]): number {
  const highest = new Map<string, number>();
  let count = 0;
  for (const { stream, epoch, offset } of lines) {
    if (offset === null) continue;
    const key = `${stream} ${epoch}`;
    const before = highest.get(key) ?? 0;
    if (offset < before) count++;
    else highest.set(key, offset);
  }
  return count;
}

/** Nearest rank of a sorted list; null when it is empty. */
export function percentile(sorted: readonly number[], share: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? null;
}
