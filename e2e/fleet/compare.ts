// Record by record: what the publisher was told is accepted against what each client's application was given. Pure; report.ts reads the logs.
// Durable: each recipient exactly once and in order for each stream. Live: counted, not owed.
import type { ReceivedLine } from './received-log.ts';

/** One accepted publication, as the publisher logged it. */
export interface Published {
  readonly id: string;
  readonly class: 'durable' | 'live';
  readonly to: Recipient;
  /** When it was first sent, ms. */
  readonly tMs: number;
}
export type Recipient =
  | { readonly device: string }
  | { readonly account: string }
  | { readonly topic: string }
  | { readonly everyone: true };

export interface Audience {
  readonly devices: readonly string[];
  /** Devices of an account; default: `dev-X` of `acc-X`. */
  readonly accounts?: ReadonlyMap<string, readonly string[]>;
  /** Devices that heard the topic all the time; default: all. */
  readonly topics?: ReadonlyMap<string, readonly string[]>;
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

/**
 * @param unknownOutcomes publications whose outcome stayed unknown: so many ids may be strangers without being wrong
 * Cost: O(deliveries).
 */
export function compare(
  published: readonly Published[],
  logs: ReadonlyMap<string, readonly ReceivedLine[]>,
  audience: Audience,
): Comparison {
  const byId = new Map(published.map((message) => [message.id, message]));
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
      const message = byId.get(line.id);
      const seen = times.get(line.id) ?? 0;
      times.set(line.id, seen + 1);
      if (message === undefined) strangers++;
      else if (seen > 0) doubled.push({ id: line.id, device, tMs: message.tMs });
      else if (message.class === 'live') liveDelivered++;
      else latencies.push(line.tMs - message.tMs);
    }
  }
  const { owed, liveOwed, lost, matched } = settle(published, given, audience);
  strangers += latencies.length + liveDelivered - matched;
  latencies.sort((a, b) => a - b);
  return {
    published: published.length,
    owed,
    delivered: owed - lost.length,
    lost,
    doubled,
    outOfOrder,
    strangers,
    live: { owed: liveOwed, delivered: liveDelivered },
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    maxMs: latencies.at(-1) ?? null,
  };
}

function settle(
  published: readonly Published[],
  given: ReadonlyMap<string, ReadonlyMap<string, number>>,
  audience: Audience,
): { owed: number; liveOwed: number; lost: Finding[]; matched: number } {
  const lost: Finding[] = [];
  let owed = 0;
  let liveOwed = 0;
  let matched = 0;
  for (const message of published) {
    for (const device of devicesOf(message.to, audience)) {
      const has = given.get(device)?.has(message.id) === true;
      if (has) matched++;
      if (message.class === 'live') liveOwed++;
      else {
        owed++;
        if (!has) lost.push({ id: message.id, device, tMs: message.tMs });
      }
    }
  }
  return { owed, liveOwed, lost, matched };
}

function devicesOf(to: Recipient, audience: Audience): readonly string[] {
  if ('device' in to) return [to.device];
  if ('topic' in to) return audience.topics?.get(to.topic) ?? audience.devices;
  if ('account' in to) return audience.accounts?.get(to.account) ?? [to.account.replace(/^acc-/, 'dev-')];
  return audience.devices;
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
