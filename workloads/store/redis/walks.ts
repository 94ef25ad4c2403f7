// Runs random walks (../walk.ts) on a real Redis or Cluster, several at once where nothing breaks it; each has an app of its own. The
// seeds are printed: SEED=n walks that one.
import type { TestContext } from 'node:test';
import type { StoreUnderTest } from '../contract-subject.ts';
import { walk } from '../walk.ts';

/** Of one test: 200 walks take about 25 s on two idle cores. */
export const WALKS_TIMEOUT_MS = 300_000;

const OPERATIONS = 24;
/** Walks at once on one server. */
const WIDTH = 8;

/** `asked`: the seed of the only walk wanted, as text. `alone`: one after another, since the server is restarted and falls back meanwhile. */
export async function runWalks(
  t: TestContext,
  under: StoreUnderTest,
  options: { readonly walks: number; readonly alone: boolean; readonly asked: string | undefined },
): Promise<void> {
  const { asked } = options;
  const start = asked === undefined ? Math.floor(Math.random() * 2 ** 30) : Number(asked);
  const end = start + (asked === undefined ? options.walks : 1);
  t.diagnostic(`seeds ${start} to ${end - 1}`);
  let seed = start;
  const run = async (): Promise<void> => {
    while (seed < end) await walk(under, { seed: seed++, operations: OPERATIONS, clock: 'real', alone: options.alone });
  };
  await Promise.all(Array.from({ length: options.alone ? 1 : WIDTH }, run));
}
