// Seeded walks of the inbox against a gateway that keeps the whole contract: it acks by position and by id, sends again what was nacked and
// what follows it, dead-letters after some attempts, and says with `prev` what it ended. Lines are cut, frames repeated, acks and nacks lost,
// clients restarted with what they had saved. In the end each message was dealt with once, or is a dead
// letter, and the client stands where its gateway does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageFrame, StreamState } from '../protocol/frames.ts';
import type { Epoch, MessageId } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import { nextRandom } from './backoff.ts';
import { Inbox } from './inbox.ts';
import type { IdAck, InboxItem, Place } from './inbox.ts';

const NORMAL: StreamName = '@normal';
const ATTEMPTS_MAX = 3;
const WINDOW = 16;

interface Entry {
  readonly number: number;
  readonly offset: number;
  readonly epoch: Epoch;
  nacks: number;
  state: 'held' | 'acked' | 'dead';
}
/** One connection: what it wrote last, and what the client may stand on. */
interface Line {
  readonly conn: number;
  at: Place;
  base: Place;
}

/** The stream and its gateways. Entries of an epoch have offsets with holes. */
class Server {
  readonly entries: Entry[] = [];
  epochs: Epoch[] = ['e1' as Epoch];
  #offset = 0;

  publish(hole: boolean): void {
    this.#offset += hole ? 2 : 1;
    const epoch = this.epochs.at(-1)!;
    this.entries.push({ number: this.entries.length, offset: this.#offset, epoch, nacks: 0, state: 'held' });
  }
  newEpoch(): void {
    this.epochs.push(`e${this.epochs.length + 1}` as Epoch);
    this.#offset = 0;
  }
  /** Where the lowest entry that has not ended follows. */
  cursor(): Place {
    const first = this.entries.find(({ state }) => state === 'held');
    if (first === undefined) return { epoch: this.epochs.at(-1)!, offset: this.#offset };
    return { epoch: first.epoch, offset: first.offset - 1 };
  }
  isBefore(a: Place, b: Place): boolean {
    const [ea, eb] = [this.epochs.indexOf(a.epoch), this.epochs.indexOf(b.epoch)];
    return ea < eb || (ea === eb && a.offset < b.offset);
  }
  next(at: Place): Entry | undefined {
    return this.entries.find((entry) => entry.state === 'held' && this.isBefore(at, entry));
  }
  ack(positions: readonly Position[], ids: readonly IdAck[]): void {
    for (const entry of this.entries) {
      const byPlace = positions.some((p) => !this.isBefore(p, entry));
      if (entry.state === 'held' && (byPlace || ids.some(({ id }) => id === `n${entry.number}`))) entry.state = 'acked';
    }
  }
  /** Answers whether the entry is still owed. */
  nack(place: Place, final: boolean): void {
    const entry = this.entries.find(({ epoch, offset }) => epoch === place.epoch && offset === place.offset);
    if (entry?.state !== 'held') return;
    entry.nacks++;
    if (final || entry.nacks >= ATTEMPTS_MAX) entry.state = 'dead';
  }
}

class Walk {
  readonly random: (n: number) => number;
  readonly server = new Server();
  readonly each: boolean;
  readonly handled: number[] = [];
  inbox!: Inbox;
  lines: Line[] = [];
  conns = 0;
  /** With the application, each settled by itself. */
  out: InboxItem[] = [];
  /** What a crash leaves. */
  saved: { positions: Map<StreamName, Position>; seen: { stream: StreamName; id: MessageId }[] } = {
    positions: new Map(),
    seen: [],
  };

  constructor(seed: number, each: boolean) {
    let state = seed;
    this.each = each;
    this.random = (n) => {
      const next = nextRandom(state);
      state = next.seed;
      return Math.floor(next.value * n);
    };
    this.restart();
  }

  /** Only what was saved is left. Messages that are with the application are lost to it. */
  restart(): void {
    this.inbox = new Inbox({
      positions: [...this.saved.positions.values()],
      seen: this.saved.seen,
      seenIdsMax: 10_000,
      queueMax: 20,
    });
    this.out = [];
    this.lines = [];
    this.connect();
  }

  connect(): void {
    const { server, inbox } = this;
    const held = inbox.position(NORMAL);
    if (held !== null) server.ack([{ stream: NORMAL, ...held }], []);
    const at = server.cursor();
    const line: Line = { conn: ++this.conns, at, base: at };
    this.lines = this.random(3) > 0 ? [line] : [...this.lines.slice(-1), line];
    const state: StreamState = { stream: NORMAL, ...at, recovered: true };
    assert.deepEqual(inbox.welcome(line.conn, [state]), []);
  }

  /** The next entry of a line; sometimes one that was written before. */
  deliver(): void {
    const line = this.lines[this.random(this.lines.length)]!;
    const again = this.random(8) === 0;
    const from = again ? line.base : line.at;
    const entry = this.server.next(from);
    if (entry === undefined) return;
    const unacked = this.server.entries.filter((e) => e.state === 'held' && !this.server.isBefore(line.at, e));
    if (!again && unacked.length >= WINDOW) return;
    if (entry.epoch !== line.at.epoch) {
      if (again || unacked.some(({ epoch }) => epoch === line.at.epoch)) return; // the epoch before is not done with
      const to: Place = { epoch: entry.epoch, offset: entry.offset - 1 };
      Object.assign(line, { at: to, base: to });
      const gone = this.inbox.streamState(line.conn, { stream: NORMAL, ...to, recovered: true });
      if (gone === 'resync') return this.connect();
      assert.equal(gone, null);
    }
    const prev = again ? line.base.offset : line.at.offset;
    if (!again) line.at = { epoch: entry.epoch, offset: entry.offset };
    const frame: MessageFrame = {
      type: 'message',
      stream: NORMAL,
      id: `n${entry.number}` as MessageId,
      sentAtMs: 0,
      body: entry.number,
      offset: entry.offset,
      prev,
    };
    if (this.inbox.message(line.conn, frame) === 'gap') this.connect();
    const again2 = this.inbox.takeAcksAgain();
    this.sendAcks(again2.streams, again2.ids);
  }

  handle(): void {
    const items = this.inbox.take(1 + this.random(4));
    if (this.each) {
      this.settle(items.filter(({ frame }) => frame === null));
      this.out.push(...items.filter(({ frame }) => frame !== null));
      return this.finishSome();
    }
    const fine = items.findIndex(({ frame }) => frame !== null && this.random(12) === 0);
    const good = fine < 0 ? items : items.slice(0, fine);
    for (const { frame } of good) if (frame !== null) this.handled.push(frame.body as number);
    this.settle(good);
    if (fine < 0) return;
    const { place } = items[fine]!;
    if (this.inbox.giveBack(items.slice(fine))) this.connect();
    else this.nack(place!);
  }

  /** Some of what is with the application ends, in any order. */
  finishSome(): void {
    const done = this.out.filter(() => this.random(2) === 0);
    this.out = this.out.filter((item) => !done.includes(item));
    const good = done.filter(() => this.random(12) > 0);
    for (const { frame } of good) this.handled.push(frame!.body as number);
    this.settle(good);
    for (const item of done.filter((one) => !good.includes(one))) {
      if (this.inbox.giveBackOne(item)) this.connect();
      else this.nack(item.place!);
    }
  }

  settle(items: readonly InboxItem[]): void {
    for (const position of this.inbox.heldWith(items)) this.saved.positions.set(NORMAL, position);
    for (const { stream, frame } of items) if (frame !== null) this.saved.seen.push({ stream, id: frame.id });
    const isLost = this.inbox.settle(items);
    this.sendAcks([NORMAL], this.inbox.idAcks(this.conns, items));
    if (isLost) this.connect();
  }

  /** Some are lost on their way. */
  sendAcks(streams: Iterable<StreamName>, ids: readonly IdAck[]): void {
    if (this.random(5) === 0) return;
    const positions = this.inbox.acks(this.conns, streams);
    this.server.ack(positions, ids);
    const line = this.lines.at(-1)!;
    for (const { epoch, offset } of positions)
      if (epoch === line.base.epoch && offset > line.base.offset) line.base = { epoch, offset };
  }

  /** The gateway goes back to it, and writes what follows again. */
  nack(place: Place): void {
    const line = this.lines.at(-1)!;
    if (!this.inbox.speaks(line.conn, NORMAL, place) || this.random(6) === 0) return;
    this.server.nack(place, this.random(6) === 0);
    if (this.server.isBefore(place, line.at) || place.offset === line.at.offset) line.at = line.base;
  }

  get owed(): number {
    return this.server.entries.filter(({ state, number }) => state !== 'dead' && !this.handled.includes(number)).length;
  }
}

for (const each of [false, true])
  test(`seeded walks, messages settled ${each ? 'one by one' : 'in order'}: each is dealt with once, or dead-lettered`, () => {
    let dead = 0;
    for (let seed = 1; seed <= 150; seed++) {
      const walk = new Walk(seed, each);
      for (let i = 0; i < 500; i++) {
        const dice = walk.random(40);
        if (dice < 10) walk.server.publish(walk.random(5) === 0);
        else if (dice < 26) walk.deliver();
        else if (dice < 36) walk.handle();
        else if (dice < 38) walk.connect();
        else if (dice < 39 && walk.random(4) === 0) walk.server.newEpoch();
        else if (walk.random(6) === 0) walk.restart();
      }
      for (let i = 0; i < 6000 && walk.owed + walk.out.length > 0; i++) {
        if (i % 150 === 149) walk.connect();
        walk.deliver();
        walk.handle();
      }
      for (let i = 0; i < 10; i++) {
        walk.connect();
        walk.settle(walk.inbox.take(1000));
      }
      assert.deepEqual(walk.inbox.position(NORMAL), walk.server.cursor(), `seed ${seed}: the position`);
      const { entries } = walk.server;
      const expected = entries.filter(({ state }) => state !== 'dead').map(({ number }) => number);
      dead += entries.length - expected.length;
      const handled = walk.handled.filter((number) => entries[number]!.state !== 'dead');
      assert.deepEqual(each ? handled.toSorted((a, b) => a - b) : handled, expected, `seed ${seed}`);
      assert.equal(new Set(walk.handled).size, walk.handled.length, `seed ${seed}: twice`);
    }
    assert.ok(dead > 50, `${dead} dead letters`);
  });
