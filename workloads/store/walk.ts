// Seeded random walks over a store: every kind of operation, repeated and reordered calls, expiry, devices that leave, crashes and fall
// backs where the store has them; walk-model.ts knows what must come of it. Whatever happened: no delivery is lost, each ends once, order
// and the chain of `prev` hold, and the ledger is exact. Called by walk.test.ts and by the tests of each implementation.
import type { StoreUnderTest } from './contract-subject.ts';
import { check } from './walk-checks.ts';
import { append, endEntries, saveAttempts, settle } from './walk-deliveries.ts';
import { changeLetter, close, open, register } from './walk-devices.ts';
import { cancelTopicEntry, move, subscribe, unsubscribe } from './walk-subscriptions.ts';
import { breakStore, pass } from './walk-trouble.ts';
import { DEVICES, Walker } from './walker.ts';
import type { WalkOptions } from './walker.ts';

/** The limits that the store of a walk has: small, so that they are met. */
export const WALK_LIMITS = { deviceStreamEntriesMax: 6 } as const;

type Operation = (walker: Walker) => Promise<void>;

/** How often each, about, in a hundred. */
function operationsOf({ clock, alone }: WalkOptions): readonly Operation[] {
  const weights: [number, Operation][] = [
    [24, append],
    [9, settle],
    [12, endEntries],
    [6, subscribe],
    [3, unsubscribe],
    [9, move],
    [4, cancelTopicEntry],
    [5, changeLetter],
    [6, register],
    [1, close],
    [6, open],
    [2, saveAttempts],
    [clock === 'manual' ? 6 : 1, pass],
    [3, (walker) => walker.do('sweep', () => walker.sweepNow())],
    [8, repeat],
    [alone ? 3 : 0, breakStore],
  ];
  return weights.flatMap(([weight, run]) => Array.from({ length: weight }, () => run));
}
async function repeat(walker: Walker): Promise<void> {
  walker.trace.push('again');
  await walker.again?.();
}

/** Two devices with sessions and subscriptions: most of what is chosen then has something to work on. */
async function begin(walker: Walker): Promise<void> {
  for (const name of DEVICES.slice(0, 2)) {
    await register(walker, name);
    await subscribe(walker, name);
    await open(walker, name);
  }
}

/** One walk, in an app of its own. Throws when the store did what it must not; the message has the seed. */
export async function walk(under: StoreUnderTest, options: WalkOptions): Promise<void> {
  const walker = new Walker(under, options, WALK_LIMITS.deviceStreamEntriesMax);
  const operations = operationsOf(options);
  try {
    await begin(walker);
    for (let i = 0; i < options.operations; i++) {
      await walker.pick(operations)(walker);
      if (walker.random(40) === 0) await check(walker);
    }
    await check(walker);
  } catch (error) {
    const told = error instanceof Error ? error.message : String(error);
    throw new Error(`SEED=${options.seed}: ${told}\nlast: ${walker.trace.slice(-6).join(' | ')}`, { cause: error });
  }
}
