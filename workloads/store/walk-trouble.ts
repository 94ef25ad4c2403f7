// What befalls a walk (walk.ts): time, crashes, and a store that falls back to what it was.
import { endOfEpoch, epochAt } from './walk-state.ts';
import type { Walker } from './walker.ts';

/** Time passes; where it goes on by itself, something expires meanwhile. */
export async function pass(walker: Walker): Promise<void> {
  const { clock } = walker.options;
  walker.again = null;
  walker.trace.push('pass');
  if (clock === 'manual') return walker.under.advance(1 + walker.random(60_000));
  // Appended, and expired when anything else happens.
  const expiring = {
    ...walker.anAppend(walker.ref()),
    messageId: walker.anId(),
    expiresAtMs: walker.under.nowMs() + 30,
  };
  const [outcome] = await walker.store.append([expiring]);
  const [head] = await walker.store.heads([expiring.stream]);
  walker.model.appended(expiring, outcome!, { epoch: head!.epoch, nowMs: walker.under.nowMs() });
  await walker.under.advance(50);
}

/** A crash, which loses nothing; or a checkpoint, and later a fall back to it. */
export async function breakStore(walker: Walker): Promise<void> {
  const { crash, checkpoint, fallBack } = walker.under;
  walker.again = null;
  if (crash !== undefined && (checkpoint === undefined || walker.chance(50))) {
    walker.trace.push('crash');
    await crash();
  } else if (checkpoint !== undefined && fallBack !== undefined) {
    if (walker.saved === null || walker.chance(30)) {
      walker.trace.push('checkpoint');
      await checkpoint();
      walker.saved = structuredClone(walker.model.state);
    } else await goBack(walker, fallBack);
  }
}

/** The model goes back too, to another life: streams open new epochs. */
async function goBack(walker: Walker, fallBack: () => Promise<void>): Promise<void> {
  walker.trace.push('fall back');
  const [before, life] = [walker.model.state, walker.model.state.life];
  await fallBack();
  walker.model.state = { ...structuredClone(walker.saved!), life: life + 1 };
  walker.lost = [];
  for (const [device, { lanes }] of before.devices)
    for (const [lane, { head, ...old }] of lanes) {
      const now = walker.model.lane(device, lane);
      const epoch = epochAt({ head, ...old }, head);
      if (now !== undefined && head > now.head && endOfEpoch(now, epoch) !== null)
        walker.lost.push({ device, lane, epoch, offset: head });
    }
}
