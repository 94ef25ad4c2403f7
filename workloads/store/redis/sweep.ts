// The sweep of what expired: buckets with something due, then those, some at once, until the limit; and after it subscriptions that
// were cut short (subscriptions.ts) by someone who did not come back, like those of a device that was closed; one that cannot be finished
// now is put off and holds nobody up. Called by redis-store.ts.
import { allBuckets, BUCKETS, devicePlace } from './keys.ts';
import type { Script } from './scripts/script.ts';
import { cutShortScript, DUE, findDueScript, putOffScript, sweepExpiredScript } from './scripts/sweep.ts';
import { finish, rowsOf } from './subscriptions.ts';
import type { Row, Who } from './subscriptions.ts';
import { askAll, askEach, askOne, walkBuckets } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AppId, DeviceId } from '../../protocol/ids.ts';
import type { Log } from '../../runtime/log.ts';

/** Buckets swept at once. */
const SWEEP_WIDTH = 64;
/** Devices of a bucket finished by one sweep. */
const CUT_SHORT_MAX = 16;
/** Devices finished at once. */
const FINISH_WIDTH = 64;

export interface SweepScripts {
  readonly findDue: Script;
  readonly sweep: Script;
  readonly cutShort: Script;
  readonly putOff: Script;
}
export function sweepScripts(limits: StoreLimits): SweepScripts {
  return {
    findDue: findDueScript(limits),
    sweep: sweepExpiredScript(limits),
    cutShort: cutShortScript(limits),
    putOff: putOffScript(limits),
  };
}

interface SweepMeans {
  readonly scripts: SweepScripts;
  readonly log: Log;
}

/** Starts at a bucket that differs each time; answers entries dropped, at most `limit`. */
export async function sweepExpired(topology: Topology, { scripts, log }: SweepMeans, limit: number): Promise<number> {
  const buckets = allBuckets(Math.floor(Math.random() * BUCKETS));
  const found = await walkBuckets(topology, scripts.findDue);
  const dueFor = (what: number): number[] =>
    buckets.filter((bucket) => (numberOf(found.get(bucket) ?? 0) & what) !== 0);
  const dropped = await dropExpired(topology, scripts, { due: dueFor(DUE.expired), limit });
  await finishCutShort(topology, { scripts, log }, dueFor(DUE.cutShort));
  return dropped;
}

async function dropExpired(
  topology: Topology,
  scripts: SweepScripts,
  { due, limit }: { readonly due: number[]; readonly limit: number },
): Promise<number> {
  let dropped = 0;
  while (due.length > 0 && dropped < limit) {
    const wave = due.splice(0, Math.min(SWEEP_WIDTH, limit - dropped));
    const share = Math.floor((limit - dropped) / wave.length);
    const shares = wave.map((bucket) => ({ bucket, key: `{${bucket}}c`, args: [share] }));
    for (const reply of await askAll(topology, scripts.sweep, shares)) dropped += numberOf(reply);
    // A bucket that used up its share may hold more: once more, when the limit allows.
    if (due.length > 0) continue;
    for (const bucket of wave) {
      if (dropped >= limit) break;
      const rest = { bucket, key: `{${bucket}}c`, args: [limit - dropped] };
      dropped += numberOf(await askOne(topology, scripts.sweep, rest));
    }
  }
  return dropped;
}

interface CutShort {
  readonly who: Who;
  readonly rows: readonly Row[];
}
type Failed = CutShort & { readonly error: string };

/** A device whose subscriptions cannot be finished now, with memory full for one, is no failure of the sweep: it is put off. */
async function finishCutShort(topology: Topology, { scripts, log }: SweepMeans, due: readonly number[]): Promise<void> {
  const cutShort = await findCutShort(topology, scripts.cutShort, due);
  const failed: Failed[] = [];
  while (cutShort.length > 0) failed.push(...(await finishEach(topology, cutShort.splice(0, FINISH_WIDTH))));
  if (failed.length === 0) return;
  log.warn({ devices: failed.length, error: failed[0]!.error }, 'store subscriptions cut short are put off');
  await putOff(topology, scripts.putOff, failed);
}

/** Buckets left over are found again by the next sweep. */
async function findCutShort(topology: Topology, script: Script, due: readonly number[]): Promise<CutShort[]> {
  const buckets = due.slice(0, SWEEP_WIDTH);
  const asked = buckets.map((bucket) => ({ bucket, key: `{${bucket}}c`, args: [CUT_SHORT_MAX] }));
  const found = (await askAll(topology, script, asked)).flatMap((reply) => listOf(reply));
  const cutShort: CutShort[] = [];
  for (let i = 0; i + 1 < found.length; i += 2) {
    const name = textOf(found[i]);
    const slash = name.indexOf('/');
    const who = { app: name.slice(0, slash) as AppId, device: name.slice(slash + 1) as DeviceId };
    cutShort.push({ who, rows: rowsOf(found[i + 1]!) });
  }
  return cutShort;
}

/** Whoever comes meanwhile may finish the same: each step may be repeated. Answers those that failed; never rejects. */
async function finishEach(topology: Topology, cutShort: readonly CutShort[]): Promise<Failed[]> {
  const outcomes = await Promise.allSettled(cutShort.map(({ who, rows }) => finish(topology, who, rows)));
  return outcomes.flatMap((outcome, i) =>
    outcome.status === 'fulfilled' ? [] : [{ ...cutShort[i]!, error: String(outcome.reason) }],
  );
}

/** Behind the others of their buckets, which they would keep from their turn. One that cannot even be put off is found again at once. */
async function putOff(topology: Topology, script: Script, failed: readonly Failed[]): Promise<void> {
  const asked = failed.map(({ who }) => {
    const { bucket, prefix, name } = devicePlace(who.app, who.device);
    return { bucket, key: prefix, args: [name, Math.random()] };
  });
  await askEach(topology, script, asked);
}
