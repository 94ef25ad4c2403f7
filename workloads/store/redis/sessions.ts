// Sessions and routes in Redis (R7, R8): one script each (scripts/sessions.ts). Called by redis-store.ts.
import { devicePlace, LANE_LETTERS, LANE_OF } from './keys.ts';
import {
  CHECK_SESSION,
  CLOSE_SESSION,
  COUNT_ROUTES,
  LOOK_UP,
  OPEN_REFUSALS,
  OPEN_SESSION,
  SWEEP_ROUTES,
} from './scripts/sessions.ts';
import { lanesOf } from './streams.ts';
import { leases, sweepLeases } from './leases.ts';
import { settledCursors } from './subscriptions.ts';
import { askAll, askOne, walkBuckets } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import type * as port from '../port.ts';
import type { AccountId, AppId, BootId, DeviceId, Epoch, GatewayName } from '../../protocol/ids.ts';

export const SESSION_SCRIPTS = [
  OPEN_SESSION,
  CLOSE_SESSION,
  LOOK_UP,
  CHECK_SESSION,
  COUNT_ROUTES,
  SWEEP_ROUTES,
] as const;

/** A device's row as looked up. */
export interface Row {
  readonly account: AccountId;
  readonly generation: number;
  readonly revokedAtMs: number;
  readonly route: port.Route | null;
}

export async function openSession(topology: Topology, request: port.OpenSession): Promise<port.OpenedSession> {
  const { bucket, prefix, name } = devicePlace(request.app, request.device);
  const { account, expectGeneration, permittedAtMs, gateway, bootId } = request;
  const args = [name, account, expectGeneration ?? '', permittedAtMs, gateway, bootId];
  const reply = await askOne(topology, OPEN_SESSION, { bucket, key: prefix, args });
  if (typeof reply === 'number') return { kind: OPEN_REFUSALS[reply as keyof typeof OPEN_REFUSALS] };
  const [generation, replaced, lanes, topics] = listOf(reply);
  return {
    kind: 'opened',
    generation: numberOf(generation),
    lanes: lanesOf(lanes!),
    topics: await settledCursors(topology, request, topics!),
    replaced: routeOf(replaced ?? null),
  };
}

export async function closeSessions(
  topology: Topology,
  sessions: readonly port.CloseSession[],
): Promise<readonly boolean[]> {
  const asked = sessions.map(({ app, device, generation, bootId }) => {
    const { bucket, prefix, name } = devicePlace(app, device);
    return { bucket, key: prefix, args: [name, generation, bootId] };
  });
  return (await askAll(topology, CLOSE_SESSION, asked)).map((reply) => reply === 1);
}

export async function lookUp(
  topology: Topology,
  app: AppId,
  devices: readonly DeviceId[],
): Promise<readonly (Row | null)[]> {
  const asked = devices.map((device) => {
    const { bucket, prefix, name } = devicePlace(app, device);
    return { bucket, key: prefix, args: [name] };
  });
  return (await askAll(topology, LOOK_UP, asked)).map(rowOf);
}

export async function checkSessions(
  topology: Topology,
  checks: readonly port.SessionCheck[],
): Promise<readonly (port.SessionState | null)[]> {
  const asked = checks.map(({ app, device, generation, bootId, heads }) => {
    const { bucket, prefix, name } = devicePlace(app, device);
    return { bucket, key: prefix, args: [name, generation, bootId, headsText(heads)] };
  });
  return (await askAll(topology, CHECK_SESSION, asked)).map(stateOf);
}

/** As the script writes them: letter, epoch, ':', head and a space for each lane. */
function headsText(heads: readonly port.LaneHead[]): string {
  let text = '';
  for (const { lane, epoch, head } of heads) text += `${LANE_LETTERS[lane]}${epoch}:${head} `;
  return text;
}

function stateOf(reply: Reply): port.SessionState | null {
  if (reply === 0) return null;
  const [route, flat] = listOf(reply);
  const found = listOf(flat!);
  const heads = Array.from({ length: found.length / 3 }, (_, i) => ({
    lane: LANE_OF[textOf(found[3 * i])]!,
    epoch: textOf(found[3 * i + 1]) as Epoch,
    head: numberOf(found[3 * i + 2]),
  }));
  return { route: routeOf(route ?? null), heads };
}

/** Boot id → routes, and the buckets they are in. */
async function countByBucket(topology: Topology): Promise<{ bucket: number; bootId: BootId; routes: number }[]> {
  const found = await walkBuckets(topology, COUNT_ROUTES);
  return Array.from(found).flatMap(([bucket, reply]) => {
    const flat = listOf(reply);
    return Array.from({ length: flat.length / 2 }, (_, i) => {
      return { bucket, bootId: textOf(flat[2 * i]) as BootId, routes: numberOf(flat[2 * i + 1]) };
    });
  });
}

export async function countRoutes(topology: Topology): Promise<ReadonlyMap<BootId, number>> {
  const sums = new Map<BootId, number>();
  for (const { bootId, routes } of await countByBucket(topology)) sums.set(bootId, (sums.get(bootId) ?? 0) + routes);
  return sums;
}

/** Looks for lives without a lease and clears their routes, bucket by bucket. */
export async function sweepRoutes(topology: Topology, limit: number): Promise<number> {
  const live = new Set((await leases(topology)).map((lease) => lease.bootId));
  const over = (await countByBucket(topology)).filter(({ bootId }) => !live.has(bootId));
  let swept = 0;
  while (over.length > 0 && swept < limit) {
    // As many buckets at once as the limit surely allows.
    const wave: { bucket: number; bootId: BootId; share: number }[] = [];
    for (let left = limit - swept; left > 0 && over.length > 0 && wave.length < 64;) {
      const { bucket, bootId, routes } = over.shift()!;
      wave.push({ bucket, bootId, share: Math.min(routes, left) });
      left -= routes;
    }
    const asked = wave.map(({ bucket, bootId, share }) => ({ bucket, key: `{${bucket}}c`, args: [share, bootId] }));
    for (const reply of await askAll(topology, SWEEP_ROUTES, asked)) swept += numberOf(reply);
  }
  await sweepLeases(topology);
  return swept;
}

/** What LOOK_UP answers for one: rows as stored (scripts/device-lib.ts). */
function rowOf(reply: Reply): Row | null {
  if (reply === null) return null;
  const [row, life] = listOf(reply).map(listOf);
  const [account, generation, revokedAtMs, , connectedAtMs] = row!;
  const route = life && routeOf([life[0]!, life[1]!, generation!, account!, connectedAtMs!]);
  return {
    account: textOf(account) as AccountId,
    generation: numberOf(generation),
    revokedAtMs: numberOf(revokedAtMs),
    route: route ?? null,
  };
}

function routeOf(reply: Reply): port.Route | null {
  if (reply === null) return null;
  const [gateway, bootId, generation, account, connectedAtMs] = listOf(reply);
  return {
    gateway: textOf(gateway) as GatewayName,
    bootId: textOf(bootId) as BootId,
    generation: numberOf(generation),
    account: textOf(account) as AccountId,
    connectedAtMs: numberOf(connectedAtMs),
  };
}
