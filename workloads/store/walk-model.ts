// What a random walk (walk.ts) expects of a store, as plain as can be: every delivery ever accepted, where it is, how it ended. It is told
// each operation with the store's answer, checks what the answer had to be, and learns what only the store can know (epochs).
import assert from 'node:assert/strict';
import type {
  Append,
  AppendOutcome,
  CursorMove,
  DeadLetterOutcome,
  EndState,
  EntrySettle,
  EntrySettleOutcome,
  Settle,
  SettleOutcome,
  Subscription,
  TopicCursor,
} from './port.ts';
import { endOfEpoch, epochAt, isDue, letterKey } from './walk-state.ts';
import type {
  Counts,
  ModelDevice,
  ModelDelivery,
  ModelEntry,
  ModelLane,
  ModelLetter,
  ModelStream,
  WalkState,
} from './walk-state.ts';
import { counterOf } from './sqlite/ledger.ts';
import type { DeviceId, Epoch, MessageId, TopicName } from '../protocol/ids.ts';
import { laneOf } from '../protocol/streams.ts';
import type { Lane } from '../protocol/streams.ts';

export class WalkModel {
  readonly #entriesMax: number;
  state: WalkState = {
    life: 0,
    devices: new Map(),
    topics: new Map(),
    letters: new Map(),
    counts: { accepted: 0, acked: 0, expired: 0, dead: 0, cancelled: 0, filtered: 0 },
  };

  constructor(deviceStreamEntriesMax: number) {
    this.#entriesMax = deviceStreamEntriesMax;
  }

  device(name: DeviceId): ModelDevice {
    let device = this.state.devices.get(name);
    if (device === undefined) {
      device = { account: null, generation: 0, lanes: new Map(), cursors: new Map() };
      this.state.devices.set(name, device);
    }
    return device;
  }
  lane(name: DeviceId, lane: Lane): ModelLane | undefined {
    return this.device(name).lanes.get(lane);
  }

  /** The append was answered; `epoch`: the stream's after it. */
  appended(append: Append, outcome: AppendOutcome, at: { epoch: Epoch | null; nowMs: number }): void {
    const { stream } = append;
    if (stream.kind === 'topic') return this.#topicAppended(append, stream.topic, outcome);
    const device = this.device(stream.device);
    if (device.account === null)
      return assert.deepEqual(outcome, { kind: 'refused', reason: 'device-unknown' }, 'unknown device');
    const lane = device.lanes.get(stream.lane) ?? aLane();
    const known = lane.deliveries.find(({ id }) => id === append.messageId);
    if (known !== undefined) return assertDuplicate(lane, known.offset, outcome);
    if (lane.overflowed.has(append.messageId)) return assert.equal(outcome.kind, 'dead', 'repeated overflow');
    const key = keyOf(append);
    const waiting = lane.deliveries.filter((row) => row.state === 'waiting');
    const older = key === null ? undefined : waiting.find((row) => row.collapseKey === key);
    const others = waiting.filter((row) => !isDue(row, at.nowMs) && row !== older);
    if (others.length >= this.#entriesMax) {
      if (append.overflow !== 'dead-letter')
        return assert.deepEqual(outcome, { kind: 'refused', reason: 'stream-full' }, 'full');
      assert.deepEqual(outcome, { kind: 'dead', reason: 'stream-full' }, 'overflow');
      device.lanes.set(stream.lane, lane);
      this.#step(lane, at.epoch!);
      lane.overflowed.set(append.messageId, lane.head);
      this.state.counts.accepted++;
      this.state.counts.dead++;
      const place = { device: stream.device, stream: `@${stream.lane}` as const, epoch: at.epoch!, offset: lane.head };
      this.#putLetter({ ...place, account: device.account as never, messageId: append.messageId, state: 'dead' });
      return;
    }
    if (older !== undefined) this.#end(older, isDue(older, at.nowMs) ? 'expired' : 'cancelled');
    device.lanes.set(stream.lane, lane);
    this.#assertNew(lane, outcome, others);
    lane.deliveries.push({
      ...entryOf(append, lane.head),
      state: 'waiting',
      // Byte 47 of a record: its flags (protocol/record.ts).
      satisfies: (append.record[47]! & 2) !== 0,
    });
    this.state.counts.accepted++;
  }

  #topicAppended(append: Append, name: TopicName, outcome: AppendOutcome): void {
    const topic = this.state.topics.get(name) ?? { head: 0, life: this.state.life, epochs: [], entries: [] };
    const known = topic.entries.find(({ id }) => id === append.messageId);
    if (known !== undefined) return assertDuplicate(topic, known.offset, outcome);
    this.state.topics.set(name, topic);
    const before = topic.entries.filter(({ expiresAtMs }) => expiresAtMs === 0);
    this.#assertNew(topic, outcome, before);
    const key = keyOf(append);
    for (const entry of topic.entries) if (key !== null && entry.collapseKey === key) entry.tombstone = true;
    topic.entries.push({ ...entryOf(append, topic.head), tombstone: false });
    for (const { cursors } of this.state.devices.values()) if (cursors.has(name)) this.state.counts.accepted++;
  }

  /** The next offset; the epoch is a new one exactly when the stream was last written in another life. */
  #step(stream: ModelStream, epoch: Epoch): void {
    const isNew = stream.epochs.length === 0 || stream.life !== this.state.life;
    stream.head++;
    stream.life = this.state.life;
    if (!isNew) return assert.equal(epoch, stream.epochs.at(-1)!.epoch, 'the epoch goes on');
    assert.ok(!stream.epochs.some((span) => span.epoch === epoch), 'another life opens another epoch');
    stream.epochs.push({ epoch, first: stream.head });
  }
  /** @param before entries that are surely held: the offset before it names the last of them or one that is about to go */
  #assertNew(stream: ModelStream, outcome: AppendOutcome, before: readonly ModelEntry[]): void {
    assert.equal(outcome.kind, 'appended');
    if (outcome.kind !== 'appended') return;
    this.#step(stream, outcome.epoch);
    assert.deepEqual([outcome.offset, outcome.duplicate], [stream.head, false], 'a new offset');
    const last = before.at(-1)?.offset ?? 0;
    assert.ok(outcome.prev >= last && outcome.prev < outcome.offset, `prev ${outcome.prev}, held up to ${last}`);
  }

  #end(delivery: ModelDelivery, state: EndState): void {
    assert.equal(delivery.state, 'waiting', `${delivery.id} ends once`);
    delivery.state = state;
    this.state.counts[counterOf(state) as keyof Counts]++;
  }

  settled(settle: Settle, outcome: SettleOutcome, nowMs: number): void {
    const device = this.device(settle.device);
    const lane = device.lanes.get(settle.lane);
    const end = lane === undefined ? null : endOfEpoch(lane, settle.epoch);
    const counts = device.generation === settle.generation && end !== null && settle.offset <= end;
    assert.equal(outcome.counted, counts && device.account !== null, 'counted');
    if (!outcome.counted || settle.offset <= lane!.floor) return assert.deepEqual(outcome.satisfied, []);
    lane!.floor = settle.offset;
    const ended = lane!.deliveries.filter((row) => row.offset <= settle.offset && row.state === 'waiting');
    for (const row of ended) this.#end(row, isDue(row, nowMs) ? 'expired' : 'acked');
    const satisfied = ended.filter((row) => row.state === 'acked' && row.satisfies).map(({ id }) => id);
    assert.deepEqual(outcome.satisfied, satisfied);
  }

  entrySettled(settle: EntrySettle, outcome: EntrySettleOutcome, nowMs: number): void {
    const device = this.device(settle.device);
    if (settle.generation !== null && (device.account === null || device.generation !== settle.generation))
      return assert.equal(outcome.kind, 'stale', 'an older session');
    const lane = device.lanes.get(settle.lane);
    const overflowed = 'messageId' in settle.entry && lane?.overflowed.has(settle.entry.messageId);
    if (overflowed === true) return assert.deepEqual(outcome, { kind: 'ended', state: 'dead' }, 'it overflowed');
    const row = lane?.deliveries.find((delivery) => isMeant(lane, delivery, settle.entry));
    if (row === undefined) return assert.ok(outcome.kind !== 'settled', `unknown, got ${outcome.kind}`);
    if (row.state !== 'waiting') return assert.deepEqual(outcome, { kind: 'ended', state: row.state }, 'it had ended');
    if (isDue(row, nowMs) && outcome.kind === 'ended') {
      assert.equal(outcome.state, 'expired');
      return this.#end(row, 'expired');
    }
    const epoch = epochAt(lane!, row.offset);
    const satisfied = settle.state === 'acked' && row.satisfies ? [row.id] : [];
    assert.deepEqual(outcome, { kind: 'settled', epoch, offset: row.offset, satisfied });
    this.#end(row, settle.state);
    if (settle.state !== 'dead') return;
    const place = { device: settle.device, stream: `@${settle.lane}` as const, epoch, offset: row.offset };
    const state = settle.held === true ? 'held' : 'dead';
    this.#putLetter({ ...place, account: device.account as never, messageId: row.id, state });
  }

  /** Whether deliveries wait in a device's streams whose time has passed. */
  hasDue(name: DeviceId, nowMs: number): boolean {
    const lanes = [...this.device(name).lanes.values()];
    return lanes.some(({ deliveries }) => deliveries.some((row) => row.state === 'waiting' && isDue(row, nowMs)));
  }
  /** The store has swept: what is due has expired. */
  swept(nowMs: number): void {
    for (const { lanes } of this.state.devices.values())
      for (const { deliveries } of lanes.values())
        for (const row of deliveries) if (row.state === 'waiting' && isDue(row, nowMs)) this.#end(row, 'expired');
  }

  subscribed(name: DeviceId, topics: readonly Subscription[], answer: readonly TopicCursor[]): void {
    const device = this.device(name);
    if (device.account === null) return assert.deepEqual(answer, []);
    for (const { topic, filter } of topics) {
      const held = device.cursors.get(topic);
      const at = this.state.topics.get(topic);
      const epoch = at?.epochs.at(-1)?.epoch ?? null;
      const cursor = held ?? { topic, epoch, offset: at?.head ?? 0, filter: null, attempts: 0 };
      device.cursors.set(topic, filter === undefined ? cursor : { ...cursor, filter });
    }
    const expected = topics.map(({ topic }) => device.cursors.get(topic)!);
    assert.deepEqual(answer, expected, 'cursors');
  }
  unsubscribed(name: DeviceId, topics: readonly TopicName[]): void {
    const { cursors } = this.device(name);
    for (const topic of topics) {
      this.state.counts.cancelled += this.#behind(cursors.get(topic));
      cursors.delete(topic);
    }
  }
  #behind(cursor: TopicCursor | undefined): number {
    return cursor === undefined ? 0 : (this.state.topics.get(cursor.topic)?.head ?? 0) - cursor.offset;
  }

  moved(name: DeviceId, generation: number, move: CursorMove): void {
    const device = this.device(name);
    const held = device.cursors.get(move.topic);
    if (generation < device.generation || held === undefined) return;
    if (held.epoch === move.epoch && move.offset < held.offset) return;
    const { counts } = this.state;
    let rest = move.offset - held.offset;
    if (move.from === held.offset)
      for (const state of ['filtered', 'expired', 'cancelled', 'dead'] as const) {
        counts[state] += move[state];
        rest -= move[state];
      }
    counts.acked += rest;
    const { epoch, offset, attempts } = move;
    device.cursors.set(move.topic, { ...held, epoch, offset, attempts });
  }

  topicEntryCancelled(name: TopicName, id: MessageId, outcome: boolean, nowMs: number): void {
    const entry = this.state.topics.get(name)?.entries.find((row) => row.id === id);
    if (entry === undefined || !isDue(entry, nowMs)) assert.equal(outcome, entry !== undefined, 'cancelled');
    if (entry !== undefined) entry.tombstone = true;
  }

  /** Another account, or none any more: what waits is cancelled, streams and subscriptions go. What is due was swept before. */
  left(name: DeviceId, account: string | null): void {
    const device = this.device(name);
    if (device.account === account) return;
    for (const { deliveries } of device.lanes.values())
      for (const row of deliveries) if (row.state === 'waiting') this.#end(row, 'cancelled');
    this.unsubscribed(name, [...device.cursors.keys()]);
    device.account = account;
    device.lanes.clear();
  }

  #putLetter(letter: ModelLetter): void {
    const key = letterKey(letter);
    if (!this.state.letters.has(key)) this.state.letters.set(key, letter);
  }
  letterPut(letter: ModelLetter): void {
    this.#putLetter(letter);
  }
  redriven(letter: ModelLetter, append: Append, outcome: DeadLetterOutcome, nowMs: number): void {
    const { account } = this.device(letter.device);
    if (!this.state.letters.has(letterKey(letter))) return assert.deepEqual(outcome, { kind: 'unknown' });
    if (account !== letter.account)
      return assert.deepEqual(outcome, { kind: 'refused', reason: 'device-unknown' }, 'of another account');
    if (outcome.kind === 'unknown') assert.fail('the letter is there');
    if (outcome.kind === 'done') {
      const { lane, ...appended } = outcome.appended!;
      assert.equal(lane, laneOf(letter.stream) ?? 'normal');
      this.appended(append, appended, { epoch: null, nowMs });
      this.state.letters.delete(letterKey(letter));
    } else if (outcome.reason === 'body-gone') assert.fail('records of a walk have their bodies');
    else this.appended(append, { kind: 'refused', reason: outcome.reason }, { epoch: null, nowMs });
  }

  /** Deliveries that wait, by what the model knows. */
  waiting(): number {
    let waiting = 0;
    for (const { lanes, cursors } of this.state.devices.values()) {
      for (const lane of lanes.values()) for (const { state } of lane.deliveries) if (state === 'waiting') waiting++;
      for (const cursor of cursors.values()) waiting += this.#behind(cursor);
    }
    return waiting;
  }
}

function aLane(): ModelLane {
  return { head: 0, life: 0, epochs: [], floor: 0, deliveries: [], overflowed: new Map(), attempts: null };
}
function keyOf(append: Append): string | null {
  return append.collapseKey ?? null;
}
function entryOf(append: Append, offset: number): ModelEntry {
  return { id: append.messageId, offset, expiresAtMs: append.expiresAtMs, collapseKey: keyOf(append) };
}
function isMeant(lane: ModelLane, row: ModelDelivery, entry: EntrySettle['entry']): boolean {
  if ('messageId' in entry) return row.id === entry.messageId;
  return row.offset === entry.offset && epochAt(lane, row.offset) === entry.epoch;
}
function assertDuplicate(stream: ModelStream, offset: number, outcome: AppendOutcome): void {
  assert.equal(outcome.kind, 'appended');
  if (outcome.kind !== 'appended') return;
  const { epoch, duplicate } = outcome;
  assert.deepEqual([outcome.offset, epoch, duplicate], [offset, epochAt(stream, offset), true], 'a repeated append');
}
