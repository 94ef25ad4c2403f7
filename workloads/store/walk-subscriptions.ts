// Operations of a walk (walk.ts) on subscriptions and topics: rows that come and go, cursors that move, entries that are cancelled.
import { aRecord, hear } from './contract-subject.ts';
import type { CursorMove } from './port.ts';
import { epochAt, isDue } from './walk-state.ts';
import type { ModelEntry, ModelTopic } from './walk-state.ts';
import { ACCOUNTS, DEVICES, TOPICS } from './walker.ts';
import type { Walker } from './walker.ts';
import type { AccountId, DeviceId, Epoch, TopicName } from '../protocol/ids.ts';

export async function subscribe(walker: Walker, name = walker.pick(DEVICES)): Promise<void> {
  const filter = walker.chance(30) ? '{"level":3}' : null;
  const topics = (walker.chance(30) ? TOPICS : [walker.pick(TOPICS)]).map((topic) =>
    walker.chance(50) ? { topic } : { ...hear(topic), filter },
  );
  await walker.do(`subscribe ${name}`, async () => {
    walker.model.subscribed(name, topics, await walker.store.subscribe(walker.app, name, topics));
  });
}

export async function unsubscribe(walker: Walker): Promise<void> {
  const [name, topic] = [walker.pick(DEVICES), walker.pick(TOPICS)];
  await walker.do(`unsubscribe ${name} ${topic}`, async () => {
    await walker.store.unsubscribe(walker.app, name, [topic]);
    walker.model.unsubscribed(name, [topic]);
  });
}

/** A gateway's flush: what its session's cursor passed, entry by entry; now and then of an older session, or a late one. */
export async function move(walker: Walker): Promise<void> {
  const name = walker.pick(DEVICES);
  const device = walker.model.device(name);
  const cursor = walker.pick([...device.cursors.values(), null]);
  const topic = cursor === null ? undefined : walker.model.state.topics.get(cursor.topic);
  if (cursor === null || topic === undefined || cursor.offset >= topic.head) return;
  const offset = cursor.offset + 1 + walker.random(topic.head - cursor.offset);
  const counts = { filtered: 0, expired: 0, cancelled: 0, dead: 0 };
  const from = walker.chance(10) ? Math.max(0, cursor.offset - 1) : cursor.offset;
  const fateOf = (entry: ModelTopic['entries'][number]): keyof typeof counts | 'acked' => {
    if (entry.tombstone) return 'cancelled';
    if (isDue(entry, walker.under.nowMs())) return 'expired';
    return walker.pick(['acked', 'acked', 'acked', 'filtered', 'dead']);
  };
  const dead: ModelEntry[] = [];
  for (const entry of topic.entries) {
    if (entry.offset <= cursor.offset || entry.offset > offset) continue;
    const fate = fateOf(entry);
    if (fate !== 'acked') counts[fate]++;
    if (fate === 'dead') dead.push(entry);
  }
  const epoch = epochAt(topic, offset);
  const move: CursorMove = { topic: cursor.topic, epoch, from, offset, attempts: walker.random(3), ...counts };
  const generation = walker.generation(device);
  await walker.do(`move ${name} ${cursor.topic} ${from}–${offset}`, async () => {
    for (const entry of dead) await putLetter(walker, name, move.topic, { epoch: epochAt(topic, entry.offset), entry });
    await walker.store.saveCursors([{ app: walker.app, device: name, generation, topics: [move] }]);
    walker.model.moved(name, generation, move);
  });
}

async function putLetter(
  walker: Walker,
  device: DeviceId,
  stream: TopicName,
  at: { epoch: Epoch; entry: ModelEntry },
): Promise<void> {
  const account = (walker.model.device(device).account ?? ACCOUNTS[0]) as AccountId;
  const place = { device, account, stream, messageId: at.entry.id, epoch: at.epoch, offset: at.entry.offset };
  const record = aRecord('x', { id: at.entry.id });
  await walker.store.putDeadLetters([
    { ...place, app: walker.app, reason: 'poison', attempts: 5, state: 'dead', record },
  ]);
  walker.model.letterPut({ ...place, state: 'dead' });
}

export async function cancelTopicEntry(walker: Walker): Promise<void> {
  const name = walker.pick(TOPICS);
  const entries = walker.model.state.topics.get(name)?.entries ?? [];
  const id = entries.length > 0 && walker.chance(90) ? walker.pick(entries).id : walker.anId();
  await walker.do(`cancel ${name}`, async () => {
    const outcome = await walker.store.cancelTopicEntry(walker.app, name, id);
    walker.model.topicEntryCancelled(name, id, outcome, walker.under.nowMs());
  });
}
