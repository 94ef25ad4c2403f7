// The sweep of what expired: buckets with something due, then those, some at once, until the limit; and after it subscriptions that
// were cut short (subscriptions.ts) by someone who did not come back, like those of a device that was closed. Called by redis-store.ts.
import { allBuckets, BUCKETS } from './keys.ts';
import type { Script } from './scripts/script.ts';
import { cutShortScript, DUE, findDueScript, sweepExpiredScript } from './scripts/sweep.ts';
import { finish, rowsOf } from './subscriptions.ts';
import { askAll, askOne, walkBuckets } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AppId, DeviceId } from '../../protocol/ids.ts';

/** Buckets swept at once. */
const SWEEP_WIDTH = 64;
/** Devices of a bucket finished at once. */
const CUT_SHORT_MAX = 16;

export interface SweepScripts {
  readonly findDue: Script;
  readonly sweep: Script;
  readonly cutShort: Script;
}
export function sweepScripts(limits: StoreLimits): SweepScripts {
  return { findDue: findDueScript(limits), sweep: sweepExpiredScript(limits), cutShort: cutShortScript(limits) };
}

/** Starts at a bucket that differs each time; answers entries dropped, at most `limit`. */
export async function sweepExpired(topology: Topology, scripts: SweepScripts, limit: number): Promise<number> {
  const buckets = allBuckets(Math.floor(Math.random() * BUCKETS));
  const found = await walkBuckets(topology, scripts.findDue);
  const dueFor = (what: number): number[] =>
    buckets.filter((bucket) => (numberOf(found.get(bucket) ?? 0) & what) !== 0);
  const dropped = await dropExpired(topology, scripts, { due: dueFor(DUE.expired), limit });
  await finishCutShort(topology, scripts.cutShort, dueFor(DUE.cutShort));
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

/** Whoever comes meanwhile may finish the same: each step may be repeated. Buckets left over are found again by the next sweep. */
async function finishCutShort(topology: Topology, script: Script, due: readonly number[]): Promise<void> {
  const buckets = due.slice(0, SWEEP_WIDTH);
  const asked = buckets.map((bucket) => ({ bucket, key: `{${bucket}}c`, args: [CUT_SHORT_MAX] }));
  const found = (await askAll(topology, script, asked)).flatMap((reply) => listOf(reply));
  for (let i = 0; i + 1 < found.length; i += 2) {
    const name = textOf(found[i]);
    const slash = name.indexOf('/');
    const who = { app: name.slice(0, slash) as AppId, device: name.slice(slash + 1) as DeviceId };
    await finish(topology, who, rowsOf(found[i + 1]!));
  }
}
