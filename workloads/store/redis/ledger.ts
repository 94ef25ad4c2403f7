// The ledger in Redis (R12): its counters summed over all buckets; and what waits, counted anew in slices from streams and rows, apart
// from the counters. Called by redis-store.ts.
import { streamKey } from './keys.ts';
import { COUNT_HELD, COUNT_ROWS, READ_LEDGER, SHARDS_IN_USE } from './scripts/ledger.ts';
import { HEADS } from './scripts/read.ts';
import { LEDGER_LETTERS, UNTRACKED_LETTERS } from './scripts/outcome-lib.ts';
import type { Script } from './scripts/script.ts';
import { headOf } from './streams.ts';
import { askAll, walkBuckets } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import type { Ledger } from '../port.ts';
import type { AppId, TopicName } from '../../protocol/ids.ts';

export const LEDGER_SCRIPTS = [COUNT_HELD, COUNT_ROWS, READ_LEDGER, SHARDS_IN_USE] as const;

/** Prefixes walked at once: they hold a node for about a millisecond, all of them. */
const WALK_WIDTH = 64;
interface Prefix {
  readonly bucket: number;
  readonly key: string;
}

export async function readLedger(topology: Topology, app: AppId): Promise<Ledger> {
  const letters = [...Object.values(LEDGER_LETTERS), ...Object.values(UNTRACKED_LETTERS)];
  const sums = new Map(letters.map((letter) => [letter, 0]));
  const found = await walkBuckets(topology, READ_LEDGER, { args: [app, letters.join('')] });
  for (const reply of found.values()) {
    listOf(reply).forEach((counter, i) => sums.set(letters[i]!, sums.get(letters[i]!)! + numberOf(counter)));
  }
  const of = (letter: string): number => sums.get(letter)!;
  return {
    accepted: of(LEDGER_LETTERS.accepted),
    acked: of(LEDGER_LETTERS.acked),
    expired: of(LEDGER_LETTERS.expired),
    dead: of(LEDGER_LETTERS.dead),
    cancelled: of(LEDGER_LETTERS.cancelled),
    filtered: of(LEDGER_LETTERS.filtered),
    untracked: { accepted: of(UNTRACKED_LETTERS.accepted), acked: of(UNTRACKED_LETTERS.acked) },
  };
}

/** Entries held for the app's devices, and for each subscription what its topic has above the cursor. */
export async function countWaiting(topology: Topology, app: AppId): Promise<number> {
  const inUse = await prefixesInUse(topology);
  let held = 0;
  const ofStreams = { script: COUNT_HELD, app, prefixes: inUse.devices };
  await walk(topology, ofStreams, ([entries]) => (held += numberOf(entries)));
  const rows = new Map<TopicName, { count: number; offsets: number }>();
  await walk(topology, { script: COUNT_ROWS, app, prefixes: inUse.rows }, (flat) => {
    for (let i = 0; i + 2 < flat.length; i += 3) {
      const topic = textOf(flat[i]) as TopicName;
      const sum = rows.get(topic) ?? { count: 0, offsets: 0 };
      rows.set(topic, { count: sum.count + numberOf(flat[i + 1]), offsets: sum.offsets + numberOf(flat[i + 2]) });
    }
  });
  const topics = [...rows.keys()];
  const asked = topics.map((topic) => ({ ...streamKey({ app, kind: 'topic', topic }), args: [] }));
  const heads = await askAll(topology, HEADS, asked);
  return topics.reduce((sum, topic, i) => {
    const { head } = headOf(heads[i]!);
    const { count, offsets } = rows.get(topic)!;
    return sum + head * count - offsets;
  }, held);
}

/** Prefixes that have devices, and those that have rows of subscriptions. */
async function prefixesInUse(topology: Topology): Promise<{ devices: Prefix[]; rows: Prefix[] }> {
  const found = await walkBuckets(topology, SHARDS_IN_USE);
  const of = (which: number): Prefix[] =>
    Array.from(found).flatMap(([bucket, reply]) =>
      Array.from(textOf(listOf(reply)[which]), (shard) => ({ bucket, key: `{${bucket}}${shard}` })),
    );
  return { devices: of(0), rows: of(1) };
}

/** Runs a script over the slices of prefixes: it takes an app and a cursor, and answers the next cursor ('0': done) first. */
async function walk(
  topology: Topology,
  what: { readonly script: Script; readonly app: AppId; readonly prefixes: readonly Prefix[] },
  take: (rest: readonly Reply[]) => void,
): Promise<void> {
  const todo = what.prefixes.map((prefix) => ({ ...prefix, cursor: '0' }));
  while (todo.length > 0) {
    const wave = todo.splice(0, WALK_WIDTH);
    const asked = wave.map(({ bucket, key, cursor }) => ({ bucket, key, args: [what.app, cursor] }));
    (await askAll(topology, what.script, asked)).forEach((reply, i) => {
      const [next, ...rest] = listOf(reply);
      take(rest);
      const cursor = textOf(next);
      if (cursor !== '0') todo.push({ ...wave[i]!, cursor });
    });
  }
}
