// How much garbage may gather before the whole heap is marked. V8 decides by how fast a process allocates, and for one that is mostly idle
// leaves some per cent: 17,000 sessions (77 MB) were marked anew after each 2.5 MB, 0.3 s of CPU each time, just when a push to all of them
// came (e2e/bench/README.md, push100k). Here it is so many bytes, as a share of what the heap holds. What a storm leaves
// behind goes with heap-trim.ts. main.ts of the gateway and of the router start it.
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import type { Clock } from './clock.ts';

/** So much garbage, about, whatever lives. */
export const GARBAGE_BYTES = 48 * 1024 * 1024;
/** V8 begins when less than a young generation is left until its limit. */
export const YOUNG_BYTES = 32 * 1024 * 1024;
/** Of a large heap at least this share, per cent: marking takes longer then. */
export const PERCENT_LEAST = 20;
/** A small heap at most doubles. */
export const PERCENT_MOST = 100;
const LOOK_MS = 3000;

/** By how many per cent the heap may grow from one marking to the next. Pure. */
export function growthPercent(heapBytes: number): number {
  const percent = Math.round(((GARBAGE_BYTES + YOUNG_BYTES) / Math.max(1, heapBytes)) * 100);
  return Math.min(PERCENT_MOST, Math.max(PERCENT_LEAST, percent));
}

/** Sets it now, and as the heap changes, until stopped. V8 reads its flag at the end of each marking. */
export function paceHeapGrowth(clock: Clock): () => void {
  let set = 0;
  setFlagsFromString('--memory-reducer-gc-count=0'); // nor 8 s after that, to give back memory
  const look = (): void => {
    const percent = growthPercent(getHeapStatistics().used_heap_size);
    if (percent === set) return;
    set = percent;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  };
  look();
  return clock.every(LOOK_MS, look);
}
