// Durable subscriptions in Redis: a row with a cursor in the device's slot (R5) and an entry among the subscribers in the topic's slot
// (R12). The device's row says first what is meant ('+' entering, '-' leaving), then the topic's slot does it, then the row is set or
// dropped; each step may be repeated. Whoever meets such a row later (subscribe, unsubscribe, openSession, registerDevice)
// finishes it, and the sweep (sweep.ts) where nobody comes back.
import { randomBytes } from 'node:crypto';
import { devicePlace, streamKey } from './keys.ts';
import type { Script } from './scripts/script.ts';
import { FORGET_LEFT, JOIN_TOPIC, LEAVE_TOPIC, SUBSCRIBERS_PAGE } from './scripts/subscribers.ts';
import {
  CONFIRM,
  CURSORS_NOW,
  DROP_ROWS,
  SAVE_CURSORS,
  SAVE_TOPIC_ATTEMPTS,
  SUBSCRIBE,
  UNSUBSCRIBE,
} from './scripts/subscriptions.ts';
import { askAll, askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { Reply } from './trip.ts';
import { StoreUnavailableError } from '../port.ts';
import type { Store, Subscription, TopicCursor } from '../port.ts';
import type { AppId, DeviceId, Epoch, TopicName } from '../../protocol/ids.ts';

export const SUBSCRIPTION_SCRIPTS = [
  CONFIRM,
  CURSORS_NOW,
  DROP_ROWS,
  FORGET_LEFT,
  JOIN_TOPIC,
  LEAVE_TOPIC,
  SAVE_CURSORS,
  SAVE_TOPIC_ATTEMPTS,
  SUBSCRIBE,
  SUBSCRIBERS_PAGE,
  UNSUBSCRIBE,
] as const;

export interface Who {
  readonly app: AppId;
  readonly device: DeviceId;
}
/** A row of the device's slot (scripts/cursor-lib.ts). */
export interface Row extends TopicCursor {
  readonly mark: 'stands' | 'entering' | 'leaving';
  /** The subscription's name: another one of the same topic later has another. */
  readonly subscription: string;
}

/** Rounds until rows of a topic that is left and entered at once by several settle down. */
const ROUNDS_MAX = 8;

export async function subscribe(
  topology: Topology,
  who: Who,
  topics: readonly Subscription[],
): Promise<readonly TopicCursor[]> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const wanted = topics.map(({ topic, filter }) => {
      return [topic, filter === undefined ? false : (filter ?? ''), randomBytes(4).toString('base64url')];
    });
    const reply = await askDevice(topology, SUBSCRIBE, who, [JSON.stringify(wanted)]);
    if (reply === null) return [];
    const rows = rowsOf(reply);
    if (rows.every((row) => row.mark === 'stands')) return rows.map(cursorOf);
    await finish(topology, who, rows);
  }
  throw new StoreUnavailableError('subscriptions of this device are being changed by others all the time');
}

export async function unsubscribe(topology: Topology, who: Who, topics: readonly TopicName[]): Promise<void> {
  const reply = await askDevice(topology, UNSUBSCRIBE, who, [JSON.stringify(topics)]);
  await finish(topology, who, rowsOf(reply));
}

/** The cursors of a session that opens, once what was cut short is finished. */
export async function settledCursors(topology: Topology, who: Who, reply: Reply): Promise<readonly TopicCursor[]> {
  let rows = rowsOf(reply);
  if (rows.some((row) => row.mark !== 'stands')) {
    await finish(topology, who, rows);
    rows = rowsOf(await askDevice(topology, CURSORS_NOW, who, [])).filter((row) => row.mark === 'stands');
  }
  return rows.map(cursorOf);
}

/** Does what rows that do not stand are marked for, in the slots of their topics and then in the device's. */
export async function finish(topology: Topology, who: Who, rows: readonly Row[]): Promise<void> {
  const entering = rows.filter((row) => row.mark === 'entering');
  const leaving = rows.filter((row) => row.mark === 'leaving');
  await Promise.all([enter(topology, who, entering), leave(topology, who, leaving)]);
}

async function enter(topology: Topology, who: Who, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return;
  const joined = await askTopics(topology, JOIN_TOPIC, who, { rows, more: [] });
  const entered = rows.map(({ topic, subscription }, i) => {
    const [epoch, offset] = listOf(joined[i]!);
    return [topic, subscription, textOf(epoch), numberOf(offset)];
  });
  const stands = listOf(await askDevice(topology, CONFIRM, who, [JSON.stringify(entered)]));
  // Left by another meanwhile, who may have looked into the topic's slot too early: out of it again, and counted there.
  const undone = rows.filter((_, i) => stands[i] !== 1);
  await askTopics(topology, LEAVE_TOPIC, who, { rows: undone, more: [1] });
}

async function leave(topology: Topology, who: Who, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return;
  const replies = await askTopics(topology, LEAVE_TOPIC, who, { rows, more: [0] });
  const left = rows.map(({ topic, subscription }, i) => {
    const [joined, head] = listOf(replies[i]!);
    return [topic, subscription, numberOf(joined), numberOf(head)];
  });
  await askDevice(topology, DROP_ROWS, who, [JSON.stringify(left)]);
  await askTopics(topology, FORGET_LEFT, who, { rows, more: [] });
}

export async function saveCursors(topology: Topology, flushes: Parameters<Store['saveCursors']>[0]): Promise<void> {
  const asked = flushes.map(({ app, device, generation, topics }) => {
    const { bucket, prefix, name } = devicePlace(app, device);
    const moves = topics.map((move) => {
      const { topic, epoch, from, offset, filtered, expired, cancelled, dead, attempts } = move;
      return [topic, epoch ?? '', from, offset, filtered, expired, cancelled, dead, attempts];
    });
    return { bucket, key: prefix, args: [name, generation, JSON.stringify(moves)] };
  });
  await askAll(topology, SAVE_CURSORS, asked);
}

export async function topicSubscribers(
  topology: Topology,
  of: { readonly app: AppId; readonly topic: TopicName },
  page: { readonly after: DeviceId | null; readonly limit: number },
): Promise<{ count: number; devices: DeviceId[] }> {
  const key = streamKey({ app: of.app, kind: 'topic', topic: of.topic });
  const [count, ...devices] = listOf(
    await askOne(topology, SUBSCRIBERS_PAGE, { ...key, args: [page.after ?? '', page.limit] }),
  );
  return { count: numberOf(count), devices: devices.map((device) => textOf(device) as DeviceId) };
}

function askDevice(topology: Topology, script: Script, who: Who, args: readonly string[]): Promise<Reply> {
  const { bucket, prefix, name } = devicePlace(who.app, who.device);
  return askOne(topology, script, { bucket, key: prefix, args: [name, ...args] });
}

function askTopics(
  topology: Topology,
  script: Script,
  who: Who,
  about: { readonly rows: readonly Row[]; readonly more: readonly number[] },
): Promise<readonly Reply[]> {
  const asked = about.rows.map(({ topic, subscription }) => {
    return { ...streamKey({ app: who.app, kind: 'topic', topic }), args: [who.device, subscription, ...about.more] };
  });
  return askAll(topology, script, asked);
}

const MARKS: Readonly<Record<string, Row['mark']>> = { '+': 'entering', '-': 'leaving' };

/** Rows from a script's list. */
export function rowsOf(reply: Reply): Row[] {
  return listOf(reply).map((row) => {
    const [topic, epoch, offset, filter, attempts, mark] = listOf(row);
    const [epochText, filterText, markText] = [textOf(epoch), textOf(filter), textOf(mark)];
    return {
      topic: textOf(topic) as TopicName,
      epoch: epochText === '' ? null : (epochText as Epoch),
      offset: numberOf(offset),
      filter: filterText === '' ? null : filterText,
      attempts: numberOf(attempts),
      mark: MARKS[markText.charAt(0)] ?? 'stands',
      subscription: markText.slice(1),
    };
  });
}

function cursorOf({ topic, epoch, offset, filter, attempts }: Row): TopicCursor {
  return { topic, epoch, offset, filter, attempts };
}
