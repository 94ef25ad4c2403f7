// The sweep of what expired: buckets with something due, then those, some at once, until the limit. Called by redis-store.ts.
import { allBuckets, BUCKETS } from './keys.ts';
import type { Script } from './scripts/script.ts';
import { findDueScript, sweepExpiredScript } from './scripts/sweep.ts';
import { askAll, askOne, walkBuckets } from './topology.ts';
import type { Topology } from './topology.ts';
import { numberOf } from './trip.ts';
import type { StoreLimits } from '../store-limits.ts';

/** Buckets swept at once. */
const SWEEP_WIDTH = 64;

export interface SweepScripts {
  readonly findDue: Script;
  readonly sweep: Script;
}
export function sweepScripts(limits: StoreLimits): SweepScripts {
  return { findDue: findDueScript(limits), sweep: sweepExpiredScript(limits) };
}

/** Starts at a bucket that differs each time; answers entries dropped, at most `limit`. */
export async function sweepExpired(topology: Topology, scripts: SweepScripts, limit: number): Promise<number> {
  const buckets = allBuckets(Math.floor(Math.random() * BUCKETS));
  const found = await walkBuckets(topology, scripts.findDue);
  const due = buckets.filter((bucket) => found.has(bucket));
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
