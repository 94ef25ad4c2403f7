// Durable subscriptions in Redis: one packed value a device (R5). A new one starts at its topic's head, read just before.
import { devicePlace } from './keys.ts';
import { SAVE_CURSORS, SUBSCRIBE, UNSUBSCRIBE } from './scripts/subscriptions.ts';
import type { RedisStreams } from './streams.ts';
import { askAll, askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import type { Store, TopicCursor } from '../port.ts';
import type { AppId, DeviceId, Epoch, TopicName } from '../../protocol/ids.ts';

export const SUBSCRIPTION_SCRIPTS = [SUBSCRIBE, UNSUBSCRIBE, SAVE_CURSORS] as const;

interface Who {
  readonly app: AppId;
  readonly device: DeviceId;
}

export async function subscribe(
  at: { readonly topology: Topology; readonly streams: RedisStreams },
  who: Who,
  topics: readonly TopicName[],
): Promise<readonly TopicCursor[]> {
  const heads = await at.streams.heads(topics.map((topic) => ({ app: who.app, kind: 'topic', topic })));
  const wanted = topics.flatMap((topic, i) => [topic, heads[i]!.epoch ?? '', heads[i]!.head]);
  const reply = await askDevice(at.topology, SUBSCRIBE, who, [JSON.stringify(wanted)]);
  return reply === null ? [] : cursorsOf(reply);
}

export async function unsubscribe(topology: Topology, who: Who, topics: readonly TopicName[]): Promise<void> {
  await askDevice(topology, UNSUBSCRIBE, who, [JSON.stringify(topics)]);
}

export async function saveCursors(topology: Topology, flushes: Parameters<Store['saveCursors']>[0]): Promise<void> {
  const asked = flushes.map(({ app, device, generation, topics }) => {
    const { bucket, prefix, name } = devicePlace(app, device);
    const moved = topics.flatMap(({ topic, epoch, offset }) => [topic, epoch ?? '', offset]);
    return { bucket, key: prefix, args: [name, generation, JSON.stringify(moved)] };
  });
  await askAll(topology, SAVE_CURSORS, asked);
}

function askDevice(
  topology: Topology,
  script: (typeof SUBSCRIPTION_SCRIPTS)[number],
  who: Who,
  args: readonly string[],
): Promise<Reply> {
  const { bucket, prefix, name } = devicePlace(who.app, who.device);
  return askOne(topology, script, { bucket, key: prefix, args: [name, ...args] });
}

/** Cursors from a script's flat list. */
export function cursorsOf(reply: Reply): TopicCursor[] {
  const flat = listOf(reply);
  const cursors: TopicCursor[] = [];
  for (let i = 0; i + 2 < flat.length; i += 3) {
    const epoch = textOf(flat[i + 1]);
    cursors.push({
      topic: textOf(flat[i]) as TopicName,
      epoch: epoch === '' ? null : (epoch as Epoch),
      offset: numberOf(flat[i + 2]),
      filter: null,
      attempts: 0,
    });
  }
  return cursors;
}
