// Operations of a walk (walk.ts) on streams: appending, and the ways in which deliveries of devices end.
import { anAck, anEnd } from './contract-subject.ts';
import type { EntrySettle, Settle } from './port.ts';
import { epochAt } from './walk-state.ts';
import { DEVICES } from './walker.ts';
import type { Walker } from './walker.ts';
import type { Epoch } from '../protocol/ids.ts';

const ENDS = ['acked', 'acked', 'dead', 'cancelled', 'satisfied', 'filtered'] as const;
const NEVER = 'never' as Epoch;

export async function append(walker: Walker): Promise<void> {
  const stream = walker.ref();
  const refs = walker.chance(20) ? [stream, walker.ref(), walker.ref()] : [stream];
  const appends = Array.from({ length: 1 + walker.random(3) }, () => walker.anAppend(walker.pick(refs)));
  await walker.do(`append ${appends.length}`, async () => {
    const { nowMs } = walker.under;
    const outcomes = await walker.store.append(appends);
    const heads = outcomes.some(({ kind }) => kind === 'dead')
      ? await walker.store.heads(appends.map((append) => append.stream))
      : null;
    for (const [i, append] of appends.entries())
      walker.model.appended(append, outcomes[i]!, { epoch: heads?.[i]!.epoch ?? null, nowMs: nowMs() });
  });
}

export async function settle(walker: Walker): Promise<void> {
  const name = walker.pick(DEVICES);
  const lane = walker.lane();
  const device = walker.model.device(name);
  const at = device.lanes.get(lane);
  const head = at?.head ?? 0;
  const offset = Math.max(1, walker.chance(5) ? head + 1 : walker.random(head + 1));
  const epoch = at === undefined || walker.chance(3) ? NEVER : epochAt(at, offset);
  const place = { epoch, offset, generation: walker.generation(device) };
  const settle: Settle = { ...anAck(name, { ...place, lane }), app: walker.app };
  await walker.do(`settle ${name} ${lane} ${offset}`, async () => {
    const [outcome] = await walker.store.settle([settle]);
    walker.model.settled(settle, outcome!, walker.under.nowMs());
  });
}

function anEntrySettle(walker: Walker): EntrySettle {
  const name = walker.pick(DEVICES);
  const lane = walker.lane();
  const device = walker.model.device(name);
  const at = device.lanes.get(lane);
  const row = at === undefined || at.deliveries.length === 0 ? null : walker.pick(at.deliveries.slice(-6));
  const id = row?.id ?? walker.anId();
  const place = row === null ? null : { epoch: epochAt(at!, row.offset), offset: row.offset };
  const more = {
    app: walker.app,
    lane,
    generation: walker.chance(50) ? null : walker.generation(device),
    ...(walker.chance(20) ? { held: true } : {}),
  };
  return anEnd(name, place !== null && walker.chance(40) ? place : { messageId: id }, walker.pick(ENDS), more);
}

export async function endEntries(walker: Walker): Promise<void> {
  const ends = Array.from({ length: 1 + walker.random(3) }, () => anEntrySettle(walker));
  await walker.do(`end ${ends.map((end) => `${end.device} ${end.state}`).join(', ')}`, async () => {
    const outcomes = await walker.store.settleEntries(ends);
    for (const [i, end] of ends.entries()) walker.model.entrySettled(end, outcomes[i]!, walker.under.nowMs());
  });
}

export async function saveAttempts(walker: Walker): Promise<void> {
  const name = walker.pick(DEVICES);
  const device = walker.model.device(name);
  const lane = walker.model.lane(name, 'normal');
  const lowest = lane?.deliveries.find((row) => row.state === 'waiting' && row.expiresAtMs === 0);
  if (lowest === undefined) return;
  const [attempts, generation] = [1 + walker.random(4), walker.generation(device)];
  const place = { epoch: epochAt(lane!, lowest.offset), offset: lowest.offset };
  await walker.do(`attempts ${name} ${lowest.offset}: ${attempts}`, async () => {
    const save = { app: walker.app, device: name, generation, stream: '@normal' as const, ...place, attempts };
    await walker.store.saveAttempts([save]);
    const now = walker.model.device(name);
    const held = now.lanes.get('normal')?.deliveries.some((row) => row === lowest && row.state === 'waiting');
    if (generation === now.generation && held === true)
      now.lanes.get('normal')!.attempts = { offset: lowest.offset, n: attempts };
  });
}
