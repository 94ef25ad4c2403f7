// Seeded random walks over a store: every kind of operation, repeated and reordered calls, expiry, devices that leave, crashes and fall
// backs where the store has them; walk-model.ts knows what must come of it. Whatever happened: no delivery is lost, each ends once, order
// and the chain of `prev` hold, and the ledger is exact. Called by walk.test.ts and by the tests of each implementation.
import assert from 'node:assert/strict';
import { anAck, anEnd, aRecord, device as deviceId, hear, topicName } from './contract-subject.ts';
import type { StoreUnderTest } from './contract-subject.ts';
import type {
  Append,
  CursorMove,
  DeadLetter,
  DeadLetterAction,
  EntrySettle,
  Settle,
  Store,
  StreamRead,
  StreamRef,
} from './port.ts';
import { endOfEpoch, epochAt, isDue, letterKey, WalkModel } from './walk-model.ts';
import type { ModelDevice, ModelEntry, ModelLane, ModelStream, ModelTopic } from './walk-model.ts';
import { messageIdAt } from '../protocol/ids.ts';
import type { AccountId, AppId, BootId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../protocol/ids.ts';
import { recordMessageId } from '../protocol/record.ts';
import { LANES, laneOf } from '../protocol/streams.ts';
import type { Lane } from '../protocol/streams.ts';

/** The limits that the store of a walk has: small, so that they are met. */
export const WALK_LIMITS = { deviceStreamEntriesMax: 6 } as const;

export interface WalkOptions {
  readonly seed: number;
  readonly operations: number;
  /** `manual`: time moves only by `advance`. `real`: it goes on by itself, so what expires has expired at once or is waited for. */
  readonly clock: 'manual' | 'real';
  /** Nobody else is on the store: it may be crashed, and fall back. */
  readonly alone: boolean;
}

/** One walk, in an app of its own. Throws when the store did what it must not; the message has the seed. */
export async function walk(under: StoreUnderTest, options: WalkOptions): Promise<void> {
  const walker = new Walker(under, options);
  try {
    await walker.begin();
    for (let i = 0; i < options.operations; i++) {
      await walker.step();
      if (walker.random(40) === 0) await walker.check();
    }
    await walker.check();
  } catch (error) {
    const told = error instanceof Error ? error.message : String(error);
    throw new Error(`SEED=${options.seed}: ${told}\nlast: ${walker.trace.slice(-6).join(' | ')}`, { cause: error });
  }
}

/** Numbers from a seed: `below` → 0 … below − 1. The same on every machine. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let h = Math.imul(state ^ (state >>> 15), state | 1);
    h ^= h + Math.imul(h ^ (h >>> 7), h | 61);
    return ((h ^ (h >>> 14)) >>> 0) % below;
  };
}

const DEVICES = ['d1', 'd2', 'd3'].map(deviceId);
const ACCOUNTS = ['ann', 'bob'] as const;
const TOPICS = ['t1', 't2'].map(topicName);
const KEYS = ['k1', 'k2'] as const;
const ENDS = ['acked', 'acked', 'dead', 'cancelled', 'satisfied', 'filtered'] as const;
/** Entries of one sweep. */
const SWEEP = 500;
const NEVER = 'never' as Epoch;

class Walker {
  readonly #under: StoreUnderTest;
  readonly #options: WalkOptions;
  readonly #app: AppId;
  readonly #model = new WalkModel(WALK_LIMITS.deviceStreamEntriesMax);
  readonly random: (below: number) => number;
  /** What was done, in words. */
  readonly trace: string[] = [];
  readonly #operations: readonly (() => Promise<void>)[];
  #ids = 0;
  #appends: Append[] = [];
  #again: (() => Promise<void>) | null = null;
  #saved: WalkModel['state'] | null = null;
  /** Positions that clients hold of a tail that the store has lost. */
  #lost: { device: DeviceId; lane: Lane; epoch: Epoch; offset: number }[] = [];

  constructor(under: StoreUnderTest, options: WalkOptions) {
    this.#under = under;
    this.#options = options;
    this.#app = `walk-${options.seed}` as AppId;
    this.random = seeded(options.seed);
    const weights: [number, () => Promise<void>][] = [
      [24, () => this.#append()],
      [9, () => this.#settle()],
      [12, () => this.#endEntries()],
      [6, () => this.#subscribe()],
      [3, () => this.#unsubscribe()],
      [9, () => this.#move()],
      [4, () => this.#cancelTopicEntry()],
      [5, () => this.#changeLetter()],
      [6, () => this.#register()],
      [1, () => this.#close()],
      [6, () => this.#open()],
      [2, () => this.#saveAttempts()],
      [options.clock === 'manual' ? 6 : 1, () => this.#pass()],
      [3, () => this.#sweep()],
      [8, () => this.#repeat()],
      [options.alone ? 3 : 0, () => this.#break()],
    ];
    this.#operations = weights.flatMap(([weight, run]) => Array.from({ length: weight }, () => run));
  }

  get #store(): Store {
    return this.#under.store;
  }
  #pick<T>(of: readonly T[]): T {
    return of[this.random(of.length)]!;
  }
  #chance(percent: number): boolean {
    return this.random(100) < percent;
  }
  /** Does it, and remembers it for `repeat`: repeated calls change nothing, or what the model knows. */
  async #do(what: string, run: () => Promise<void>): Promise<void> {
    this.trace.push(what);
    this.#again = run;
    await run();
  }

  /** Two devices with sessions and subscriptions: most of what is chosen then has something to work on. */
  async begin(): Promise<void> {
    for (const name of DEVICES.slice(0, 2)) {
      await this.#register(name);
      await this.#subscribe(name);
      await this.#open(name);
    }
  }
  async step(): Promise<void> {
    await this.#pick(this.#operations)();
  }
  async #repeat(): Promise<void> {
    this.trace.push('again');
    await this.#again?.();
  }

  // ---- what is sent

  #anId(): MessageId {
    const random = new Uint8Array(10).fill(this.random(256), 0, 5).fill(this.random(256), 5);
    return messageIdAt(1_800_000_000_000 + this.#ids++, random);
  }
  #ref(): StreamRef {
    const app = this.#app;
    if (this.#chance(30)) return { app, kind: 'topic', topic: this.#pick(TOPICS) };
    return { app, kind: 'device', device: this.#pick(DEVICES), lane: this.#lane() };
  }
  #lane(): Lane {
    return this.#chance(75) ? 'normal' : this.#pick(LANES);
  }
  #expiry(): number {
    const nowMs = this.#under.nowMs();
    if (this.#chance(70)) return 0;
    if (this.#options.clock === 'manual' && this.#chance(70)) return nowMs + 1 + this.random(90_000);
    return nowMs - 1000;
  }
  #anAppend(stream: StreamRef): Append {
    if (this.#appends.length > 0 && this.#chance(8)) return { ...this.#pick(this.#appends), stream };
    const [messageId, expiresAtMs] = [this.#anId(), this.#expiry()];
    const append: Append = {
      stream,
      messageId,
      record: aRecord('x', { id: messageId, expiresAtMs, satisfiedByAny: this.#chance(30) }),
      expiresAtMs,
      ...(this.#chance(30) ? { overflow: 'dead-letter' as const } : {}),
      ...(this.#chance(20) ? { collapseKey: this.#pick(KEYS) } : {}),
    };
    this.#appends.push(append);
    return append;
  }
  async #append(): Promise<void> {
    const stream = this.#ref();
    const refs = this.#chance(20) ? [stream, this.#ref(), this.#ref()] : [stream];
    const appends = Array.from({ length: 1 + this.random(3) }, () => this.#anAppend(this.#pick(refs)));
    await this.#do(`append ${appends.length}`, async () => {
      const { nowMs } = this.#under;
      const outcomes = await this.#store.append(appends);
      const heads = outcomes.some(({ kind }) => kind === 'dead')
        ? await this.#store.heads(appends.map((append) => append.stream))
        : null;
      for (const [i, append] of appends.entries())
        this.#model.appended(append, outcomes[i]!, { epoch: heads?.[i]!.epoch ?? null, nowMs: nowMs() });
    });
  }

  // ---- how deliveries end

  /** A generation that counts, or an older one. */
  #generation(device: ModelDevice): number {
    return this.#chance(85) ? device.generation : device.generation - 1;
  }
  async #settle(): Promise<void> {
    const name = this.#pick(DEVICES);
    const lane = this.#lane();
    const device = this.#model.device(name);
    const at = device.lanes.get(lane);
    const head = at?.head ?? 0;
    const offset = Math.max(1, this.#chance(5) ? head + 1 : this.random(head + 1));
    const epoch = at === undefined || this.#chance(3) ? NEVER : epochAt(at, offset);
    const place = { epoch, offset, generation: this.#generation(device) };
    const settle: Settle = { ...anAck(name, { ...place, lane }), app: this.#app };
    await this.#do(`settle ${name} ${lane} ${offset}`, async () => {
      const [outcome] = await this.#store.settle([settle]);
      this.#model.settled(settle, outcome!, this.#under.nowMs());
    });
  }
  #anEnd(): EntrySettle {
    const name = this.#pick(DEVICES);
    const lane = this.#lane();
    const device = this.#model.device(name);
    const at = device.lanes.get(lane);
    const row = at === undefined || at.deliveries.length === 0 ? null : this.#pick(at.deliveries.slice(-6));
    const id = row?.id ?? this.#anId();
    const place = row === null ? null : { epoch: epochAt(at!, row.offset), offset: row.offset };
    const more = {
      app: this.#app,
      lane,
      generation: this.#chance(50) ? null : this.#generation(device),
      ...(this.#chance(20) ? { held: true } : {}),
    };
    return anEnd(name, place !== null && this.#chance(40) ? place : { messageId: id }, this.#pick(ENDS), more);
  }
  async #endEntries(): Promise<void> {
    const ends = Array.from({ length: 1 + this.random(3) }, () => this.#anEnd());
    await this.#do(`end ${ends.map((end) => `${end.device} ${end.state}`).join(', ')}`, async () => {
      const outcomes = await this.#store.settleEntries(ends);
      for (const [i, end] of ends.entries()) this.#model.entrySettled(end, outcomes[i]!, this.#under.nowMs());
    });
  }
  async #saveAttempts(): Promise<void> {
    const name = this.#pick(DEVICES);
    const device = this.#model.device(name);
    const lane = this.#model.lane(name, 'normal');
    const lowest = lane?.deliveries.find((row) => row.state === 'waiting' && row.expiresAtMs === 0);
    if (lowest === undefined) return;
    const [attempts, generation] = [1 + this.random(4), this.#generation(device)];
    const place = { epoch: epochAt(lane!, lowest.offset), offset: lowest.offset };
    await this.#do(`attempts ${name} ${lowest.offset}: ${attempts}`, async () => {
      const save = { app: this.#app, device: name, generation, stream: '@normal' as const, ...place, attempts };
      await this.#store.saveAttempts([save]);
      const now = this.#model.device(name);
      const held = now.lanes.get('normal')?.deliveries.some((row) => row === lowest && row.state === 'waiting');
      if (generation === now.generation && held === true)
        now.lanes.get('normal')!.attempts = { offset: lowest.offset, n: attempts };
    });
  }

  // ---- topics

  async #subscribe(name = this.#pick(DEVICES)): Promise<void> {
    const filter = this.#chance(30) ? '{"level":3}' : null;
    const topics = (this.#chance(30) ? TOPICS : [this.#pick(TOPICS)]).map((topic) =>
      this.#chance(50) ? { topic } : { ...hear(topic), filter },
    );
    await this.#do(`subscribe ${name}`, async () => {
      this.#model.subscribed(name, topics, await this.#store.subscribe(this.#app, name, topics));
    });
  }
  async #unsubscribe(): Promise<void> {
    const [name, topic] = [this.#pick(DEVICES), this.#pick(TOPICS)];
    await this.#do(`unsubscribe ${name} ${topic}`, async () => {
      await this.#store.unsubscribe(this.#app, name, [topic]);
      this.#model.unsubscribed(name, [topic]);
    });
  }
  /** A gateway's flush: what its session's cursor passed, entry by entry; now and then of an older session, or a late one. */
  async #move(): Promise<void> {
    const name = this.#pick(DEVICES);
    const device = this.#model.device(name);
    const cursor = this.#pick([...device.cursors.values(), null]);
    const topic = cursor === null ? undefined : this.#model.state.topics.get(cursor.topic);
    if (cursor === null || topic === undefined || cursor.offset >= topic.head) return;
    const offset = cursor.offset + 1 + this.random(topic.head - cursor.offset);
    const counts = { filtered: 0, expired: 0, cancelled: 0, dead: 0 };
    const from = this.#chance(10) ? Math.max(0, cursor.offset - 1) : cursor.offset;
    const fateOf = (entry: ModelTopic['entries'][number]): keyof typeof counts | 'acked' => {
      if (entry.tombstone) return 'cancelled';
      if (isDue(entry, this.#under.nowMs())) return 'expired';
      return this.#pick(['acked', 'acked', 'acked', 'filtered', 'dead']);
    };
    const dead: ModelEntry[] = [];
    for (const entry of topic.entries) {
      if (entry.offset <= cursor.offset || entry.offset > offset) continue;
      const fate = fateOf(entry);
      if (fate !== 'acked') counts[fate]++;
      if (fate === 'dead') dead.push(entry);
    }
    const epoch = epochAt(topic, offset);
    const move: CursorMove = { topic: cursor.topic, epoch, from, offset, attempts: this.random(3), ...counts };
    const generation = this.#generation(device);
    await this.#do(`move ${name} ${cursor.topic} ${from}–${offset}`, async () => {
      for (const entry of dead) await this.#putLetter(name, move.topic, { epoch: epochAt(topic, entry.offset), entry });
      await this.#store.saveCursors([{ app: this.#app, device: name, generation, topics: [move] }]);
      this.#model.moved(name, generation, move);
    });
  }
  async #putLetter(device: DeviceId, stream: TopicName, at: { epoch: Epoch; entry: ModelEntry }): Promise<void> {
    const account = (this.#model.device(device).account ?? ACCOUNTS[0]) as AccountId;
    const place = { device, account, stream, messageId: at.entry.id, epoch: at.epoch, offset: at.entry.offset };
    const record = aRecord('x', { id: at.entry.id });
    await this.#store.putDeadLetters([
      { ...place, app: this.#app, reason: 'poison', attempts: 5, state: 'dead', record },
    ]);
    this.#model.letterPut({ ...place, state: 'dead' });
  }
  async #cancelTopicEntry(): Promise<void> {
    const name = this.#pick(TOPICS);
    const entries = this.#model.state.topics.get(name)?.entries ?? [];
    const id = entries.length > 0 && this.#chance(90) ? this.#pick(entries).id : this.#anId();
    await this.#do(`cancel ${name}`, async () => {
      const outcome = await this.#store.cancelTopicEntry(this.#app, name, id);
      this.#model.topicEntryCancelled(name, id, outcome, this.#under.nowMs());
    });
  }

  // ---- dead letters

  async #letters(): Promise<DeadLetter[]> {
    const found: DeadLetter[] = [];
    for (let cursor: string | null = null; ;) {
      const page: { letters: readonly DeadLetter[]; next: string | null } = await this.#store.deadLetters(this.#app, {
        cursor,
        limit: 20,
      });
      found.push(...page.letters);
      if (page.next === null) return found;
      cursor = page.next;
    }
  }
  async #changeLetter(): Promise<void> {
    if (this.#model.state.letters.size === 0) return;
    const letters = (await this.#letters()).toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const letter = this.#pick(letters);
    const [messageId, kind] = [this.#anId(), this.#pick(['redrive', 'redrive', 'drop', 'hold', 'release'] as const)];
    const action: DeadLetterAction = kind === 'redrive' ? { kind, messageId, expiresAtMs: 0 } : { kind };
    await this.#do(`${kind} ${letterKey(letter)}`, async () => {
      const [outcome] = await this.#store.changeDeadLetters(this.#app, [{ id: letter.id, action }]);
      const { letters: known } = this.#model.state;
      const key = letterKey(letter);
      if (kind === 'redrive') {
        const lane = laneOf(letter.stream) ?? 'normal';
        const stream = { app: this.#app, kind: 'device', device: letter.device, lane } as const;
        const append = { stream, messageId, record: letter.record, expiresAtMs: 0 };
        this.#model.redriven(known.get(key) ?? letter, append, outcome!, this.#under.nowMs());
        return;
      }
      assert.equal(outcome!.kind, known.has(key) ? 'done' : 'unknown');
      if (kind === 'drop') known.delete(key);
      else if (known.has(key)) known.set(key, { ...known.get(key)!, state: kind === 'hold' ? 'held' : 'dead' });
    });
  }

  // ---- devices and sessions

  async #register(name = this.#pick(DEVICES)): Promise<void> {
    const present = this.#model.device(name).account;
    const account = present !== null && this.#chance(70) ? present : this.#pick(ACCOUNTS);
    await this.#do(`register ${name} ${account}`, async () => {
      if (this.#model.device(name).account !== account) await this.#sweepDevice(name);
      const outcome = await this.#store.registerDevice({
        app: this.#app,
        account: account as AccountId,
        device: name,
        tokenId: `${name}-${account}`,
        tokenExpiresAtMs: 4_000_000_000_000,
        accountDevicesMax: 9,
      });
      assert.equal(outcome, 'registered');
      const device = this.#model.device(name);
      const info = await this.#store.device(this.#app, name);
      const rises = device.account !== null && device.account !== account;
      assert.ok(info!.generation >= device.generation + (rises ? 1 : 0), 'another account ends the session');
      device.generation = info!.generation;
      this.#model.left(name, account);
    });
  }
  async #close(): Promise<void> {
    const name = this.#pick(DEVICES);
    await this.#do(`close ${name}`, async () => {
      await this.#sweepDevice(name);
      assert.equal(await this.#store.closeDevice(this.#app, name), this.#model.device(name).account !== null);
      this.#model.left(name, null);
    });
  }
  async #open(name = this.#pick(DEVICES)): Promise<void> {
    const life = this.random(3);
    await this.#do(`open ${name}`, async () => {
      const device = this.#model.device(name);
      const opened = await this.#store.openSession({
        app: this.#app,
        account: (device.account ?? ACCOUNTS[0]) as AccountId,
        device: name,
        expectGeneration: null,
        permittedAtMs: 3_900_000_000_000,
        gateway: `gw-${life}` as GatewayName,
        bootId: `boot-${life}` as BootId,
      });
      if (opened.kind !== 'opened') return assert.deepEqual([opened.kind, device.account], ['device-unknown', null]);
      assert.ok(opened.generation > device.generation, 'generations rise');
      device.generation = opened.generation;
      assert.deepEqual(
        opened.topics.toSorted(byTopic),
        [...device.cursors.values()].toSorted(byTopic),
        'cursors of a session',
      );
      for (const { lane, ...told } of opened.lanes) this.#checkLane(device.lanes.get(lane)!, told);
      assert.equal(opened.lanes.length, device.lanes.size);
    });
    if (this.#chance(20)) {
      const generation = this.#generation(this.#model.device(name));
      await this.#store.closeSessions([{ app: this.#app, device: name, generation, bootId: `boot-${life}` as BootId }]);
    }
  }
  #checkLane(
    lane: ModelLane,
    told: {
      epoch: Epoch | null;
      head: number;
      settled: number;
      held: number;
      attempts: number;
      attemptsOffset: number;
    },
  ): void {
    assert.deepEqual([told.epoch, told.head, told.settled], [lane.epochs.at(-1)!.epoch, lane.head, lane.floor]);
    const waiting = lane.deliveries.filter((row) => row.state === 'waiting');
    const due = waiting.filter((row) => isDue(row, this.#under.nowMs()));
    assert.ok(told.held <= waiting.length && told.held >= waiting.length - due.length, `holds ${told.held}`);
    const tried = waiting.find((row) => row.offset === lane.attempts?.offset);
    const expected = tried === undefined ? [0, 0] : [lane.attempts!.n, tried.offset];
    assert.deepEqual([told.attempts, told.attemptsOffset], expected, 'attempts');
  }

  // ---- time, upkeep, trouble

  async #pass(): Promise<void> {
    const { clock } = this.#options;
    this.#again = null;
    this.trace.push('pass');
    if (clock === 'manual') return this.#under.advance(1 + this.random(60_000));
    // Appended, and expired when anything else happens.
    const expiring = { ...this.#anAppend(this.#ref()), messageId: this.#anId(), expiresAtMs: this.#under.nowMs() + 30 };
    const [outcome] = await this.#store.append([expiring]);
    const [head] = await this.#store.heads([expiring.stream]);
    this.#model.appended(expiring, outcome!, { epoch: head!.epoch, nowMs: this.#under.nowMs() });
    await this.#under.advance(50);
  }
  async #sweep(): Promise<void> {
    await this.#do('sweep', () => this.#sweepNow());
  }
  async #sweepNow(): Promise<void> {
    while ((await this.#store.sweepExpired(SWEEP)) >= SWEEP);
    this.#model.swept(this.#under.nowMs());
  }
  /** Before a device leaves: what is due there has expired then, and is not cancelled. */
  async #sweepDevice(name: DeviceId): Promise<void> {
    if (this.#model.hasDue(name, this.#under.nowMs())) await this.#sweepNow();
  }
  /** A crash, which loses nothing; or a checkpoint, and later a fall back to it. */
  async #break(): Promise<void> {
    const { crash, checkpoint, fallBack } = this.#under;
    this.#again = null;
    if (crash !== undefined && (checkpoint === undefined || this.#chance(50))) {
      this.trace.push('crash');
      await crash();
    } else if (checkpoint !== undefined && fallBack !== undefined) {
      if (this.#saved === null || this.#chance(30)) {
        this.trace.push('checkpoint');
        await checkpoint();
        this.#saved = structuredClone(this.#model.state);
      } else await this.#fallBack(fallBack);
    }
  }
  async #fallBack(fallBack: () => Promise<void>): Promise<void> {
    this.trace.push('fall back');
    const [before, life] = [this.#model.state, this.#model.state.life];
    await fallBack();
    this.#model.state = { ...structuredClone(this.#saved!), life: life + 1 };
    this.#lost = [];
    for (const [device, { lanes }] of before.devices)
      for (const [lane, { head, ...old }] of lanes) {
        const now = this.#model.lane(device, lane);
        const epoch = epochAt({ head, ...old }, head);
        if (now !== undefined && head > now.head && endOfEpoch(now, epoch) !== null)
          this.#lost.push({ device, lane, epoch, offset: head });
      }
  }

  // ---- what must hold

  /** Sweeps, and compares everything. */
  async check(): Promise<void> {
    this.trace.push('check');
    await this.#sweepNow();
    await Promise.all([this.#checkLedger(), this.#checkStates(), this.#checkReads(), this.#checkLetters()]);
    await Promise.all([this.#checkSubscribers(), this.#checkLost()]);
  }

  async #checkLedger(): Promise<void> {
    const [{ untracked: _, ...ledger }, waiting] = await Promise.all([
      this.#store.ledger(this.#app),
      this.#store.countWaiting(this.#app),
    ]);
    assert.deepEqual(ledger, this.#model.state.counts, 'ledger');
    assert.equal(waiting, this.#model.waiting(), 'waiting');
    const { accepted, acked, expired, dead, cancelled, filtered } = ledger;
    assert.equal(accepted, acked + waiting + expired + dead + cancelled + filtered, 'the ledger is exact');
  }

  async #checkStates(): Promise<void> {
    const expected = [...this.#model.state.devices].flatMap(([device, { lanes }]) =>
      [...lanes].flatMap(([lane, { deliveries, overflowed }]) => [
        ...deliveries.map(({ id, state, offset }) => ({ device, lane, messageId: id, state, offset })),
        ...[...overflowed].map(([messageId, offset]) => ({ device, lane, messageId, state: 'dead', offset })),
      ]),
    );
    const states = await this.#store.deliveryStates(this.#app, expected);
    assert.deepEqual(
      states.map((row) => [row.state, 'offset' in row ? row.offset : 0]),
      expected.map((row) => [row.state, row.offset]),
      'what became of deliveries',
    );
  }

  async #checkReads(): Promise<void> {
    const app = this.#app;
    const nowMs = this.#under.nowMs();
    const reads: Promise<void>[] = [];
    for (const [device, { lanes }] of this.#model.state.devices)
      for (const [lane, at] of lanes) {
        const waiting = at.deliveries.filter((row) => row.state === 'waiting');
        reads.push(this.#checkRead({ app, kind: 'device', device, lane }, at, waiting));
      }
    for (const [topic, at] of this.#model.state.topics)
      reads.push(this.#checkRead({ app, kind: 'topic', topic }, at, visible(at, nowMs)));
    await Promise.all(reads);
  }
  /** Pages from some place to the end: what waits, in order, each chained to the one before. */
  async #checkRead(stream: StreamRef, at: ModelStream, held: readonly ModelEntry[]): Promise<void> {
    const start = this.random(at.head + 1);
    const known = this.#chance(70);
    let after: StreamRead['after'] = known ? { epoch: epochAt(at, start), offset: start } : null;
    const offsets: [number, MessageId][] = [];
    for (let isFirst = true; ; isFirst = false) {
      const [read] = await this.#store.read([{ stream, after, entriesMax: 3 + this.random(6) }]);
      assert.equal(read!.notRecovered, isFirst && !known ? 'no-position' : null, 'recovered');
      let prev = read!.from;
      for (const entry of read!.entries) {
        assert.equal(entry.prev, prev, 'each names the one before it');
        assert.ok(entry.offset > entry.prev, 'in order');
        offsets.push([entry.offset, recordMessageId(entry.record)]);
        prev = entry.offset;
      }
      assert.equal(read!.head, at.head);
      if (read!.complete) break;
      assert.ok(read!.entries.length > 0, 'a page that is not the last has entries');
      after = { epoch: read!.epoch!, offset: prev };
    }
    const expected = held.filter(({ offset }) => !known || offset > start).map(({ offset, id }) => [offset, id]);
    assert.deepEqual(offsets, expected, `read of ${stream.kind === 'topic' ? stream.topic : stream.device}`);
  }

  /** Who holds a position of a lost tail is told so, and gets all that came since. */
  async #checkLost(): Promise<void> {
    for (const { device, lane, epoch, offset } of this.#lost) {
      const at = this.#model.lane(device, lane);
      const end = at === undefined ? null : endOfEpoch(at, epoch);
      if (at === undefined || end === null || end >= offset) continue;
      const stream = { app: this.#app, kind: 'device', device, lane } as const;
      const [read] = await this.#store.read([{ stream, after: { epoch, offset }, entriesMax: 500 }]);
      assert.equal(read!.notRecovered, 'ahead');
      const first = at.deliveries.find((row) => row.state === 'waiting' && row.offset > end);
      assert.equal(read!.entries[0]?.offset, first?.offset, 'all that came since');
    }
  }

  async #checkLetters(): Promise<void> {
    const [letters, count] = await Promise.all([this.#letters(), this.#store.countDeadLetters(this.#app)]);
    assert.equal(count, this.#model.state.letters.size, 'dead letters');
    for (const letter of letters) {
      const { device, account, stream, messageId, epoch, offset, state } = letter;
      const known = this.#model.state.letters.get(letterKey(letter));
      assert.deepEqual({ device, account, stream, messageId, epoch, offset, state }, known, 'a dead letter');
    }
    assert.equal(letters.length, count);
  }

  async #checkSubscribers(): Promise<void> {
    for (const topic of TOPICS) {
      const page = await this.#store.topicSubscribers(this.#app, topic, { after: null, limit: 9 });
      const devices = DEVICES.filter((name) => this.#model.device(name).cursors.has(topic));
      assert.deepEqual(page, { count: devices.length, devices }, `subscribers of ${topic}`);
    }
  }
}

function visible(topic: ModelTopic, nowMs: number): ModelEntry[] {
  return topic.entries.filter((entry) => !isDue(entry, nowMs));
}
function byTopic(a: { readonly topic: string }, b: { readonly topic: string }): number {
  return a.topic < b.topic ? -1 : 1;
}
