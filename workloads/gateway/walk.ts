// A seeded random walk over gateways and a store (walk.test.ts, walk-redis.test.ts): hints are lost, repeated and reordered, acks are late, lost, or by id, messages are
// refused, expire or are cancelled, sockets drop, gateways are killed, the store goes away, the device changes its account. Whatever happens:
// nothing durable is lost, order is kept, each message is dealt with once, poison ends as dead letters, and the ledger is exact when
// everything is quiet (R4, R5, R8, R9, R12).
import assert from 'node:assert/strict';
import type { MessageId, TopicName } from '../protocol/ids.ts';
import type { Lane, StreamName } from '../protocol/streams.ts';
import type { DeadLetter, Store } from '../store/port.ts';
import { aStoreThatFails } from './failing-store.ts';
import type { FailingStore } from './failing-store.ts';
import { APP, World } from './fixtures.ts';
import type { Entry, TestGateway, TestRouter } from './fixtures.ts';
import { WalkClient } from './walk-client.ts';
import type { WalkBody } from './walk-client.ts';

const STEPS = 200;
const STREAMS = ['@normal', '@high', '$all', 'news', 'chat.1'] as const;
type Stream = (typeof STREAMS)[number];
const SETTINGS = {
  windowMessagesMax: 8,
  ackTimeoutMs: 400,
  positionCheckMs: 1000,
  cursorFlushMs: 300,
  settlesPerSecond: 5,
  leaseMs: 3000,
};

type Random = (below: number) => number;
function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Said {
  readonly stream: Stream;
  /** Lanes: whose; topics: null. */
  readonly to: Device | null;
  readonly entry: Entry;
  readonly body: WalkBody;
  readonly level: number;
  /** It may expire, or was cancelled. */
  optional: boolean;
  /** Devices that changed hands since: what they had not dealt with was cancelled. */
  readonly lostBy: Set<Device>;
}

class Device {
  readonly name: string;
  readonly client: WalkClient;
  /** Of `news` it wants these levels. */
  readonly levelMin: number;
  token = '';
  /** Its gateway was killed: where a device hears `$all` from, the store may not know yet. */
  mustClaim = false;
  /** Positions it came back with, each with what it had acked before: the rest it claimed. */
  readonly claimed: { stream: StreamName; from: number; to: number }[] = [];

  constructor(name: string, client: WalkClient, levelMin: number) {
    this.name = name;
    this.client = client;
    this.levelMin = levelMin;
  }

  /** Whether it must deal with a message, or find it dead. */
  isOwed({ stream, to, level, optional, lostBy }: Said): boolean {
    if (optional || lostBy.has(this) || (to !== null && to !== this)) return false;
    return stream !== 'news' || level >= this.levelMin;
  }
}

export class Walk {
  readonly #world: World;
  readonly #store: FailingStore;
  readonly #random: Random;
  readonly #where: string;
  readonly #devices: readonly Device[];
  readonly #said: Said[] = [];
  /** The store's time is not the walk's: nothing expires. */
  readonly #hasOwnTime: boolean;
  #gateway: TestGateway | null = null;
  #router: TestRouter | null = null;
  #n = 0;
  /** No kills, no store that goes away, no changes of account: after those, what a cursor had not saved counts as what it is found to be later. */
  readonly #isCalm: boolean;

  /** @param store to walk over; default: SQLite in memory, on the walk's clock. It is closed at the end */
  constructor(seed: number, store?: Store) {
    this.#world = new World(store ?? ':memory:');
    this.#hasOwnTime = store !== undefined;
    this.#random = seeded(seed);
    this.#isCalm = this.#random(3) === 0;
    this.#where = `seed ${seed}`;
    this.#devices = [
      new Device('d', new WalkClient(this.#random, `${this.#where} d`), 5),
      new Device('e', new WalkClient(this.#random, `${this.#where} e`), 0),
    ];
    this.#store = aStoreThatFails(this.#world.store);
    this.#world.isWaiting = () => this.#store.underWay > 0;
  }

  async run(): Promise<void> {
    try {
      await this.#startGateway();
      for (const device of this.#devices) {
        device.token = await this.#world.device(device.name, { account: device.name });
        await this.#connect(device);
      }
      for (let step = 0; step < STEPS; step++) await this.#step(this.#devices[this.#random(2)]!);
      await this.#settle();
      await this.#check();
    } finally {
      await this.#world.end();
    }
  }

  async #step(device: Device): Promise<void> {
    const what = this.#random(100);
    if (what < 55) await this.#say(device);
    else if (what < 75) device.client.ack(this.#random);
    else if (what < 88) await this.#world.pass(50 + this.#random(400));
    else if (what < 92) device.client.conn.socket.terminate();
    else if (what < 94) await this.#loseAck(device);
    else if (what < 96) await this.#cancel();
    else if (this.#isCalm) await this.#world.pass(200);
    else if (what < 98) await this.#loseStore(device);
    else if (what < 99) await this.#killGateway();
    else await this.#changeAccount(device);
    await this.#attend();
  }

  /** Clients come back, and deal with what came. */
  async #attend(): Promise<void> {
    for (const device of this.#devices) {
      if (!device.client.connected) await this.#connect(device);
      device.client.take();
    }
  }

  // ---- what happens

  async #say(device: Device): Promise<void> {
    const stream = STREAMS[this.#random(STREAMS.length)]!;
    const body: WalkBody = {
      n: ++this.#n,
      poison: this.#random(20) === 0,
      failures: this.#random(10) === 0 ? 1 + this.#random(2) : 0,
    };
    const optional = this.#random(12) === 0 && !this.#hasOwnTime;
    const level = this.#random(10);
    const expiresAtMs = optional ? this.#world.clock.nowMs() + 50 + this.#random(500) : 0;
    const more = { level, attemptsMax: 4, expiresAtMs };
    const lane = laneOf(stream);
    const entry =
      lane === null
        ? await this.#world.publish(stream, body, more)
        : await this.#world.appendTo(device.name, body, lane, more);
    const to = lane === null ? null : device;
    this.#said.push({ stream, to, entry, body, level, optional, lostBy: new Set() });
    const fate = this.#random(10);
    if (fate < 5) await this.#hint(this.#said.at(-1)!);
    else if (fate < 7) await this.#hint(this.#said[this.#random(this.#said.length)]!); // an old one again, this one perhaps never
  }

  async #hint({ stream, to, entry }: Said): Promise<void> {
    if (to === null) await this.#router!.toTopic(stream, entry, 0);
    else await this.#router!.toDevice(to.name, entry, laneOf(stream)!, 0);
  }

  async #loseAck({ client }: Device): Promise<void> {
    client.ackAll();
    client.conn.socket.terminate();
    await this.#world.turns(2);
  }

  async #cancel(): Promise<void> {
    const open = this.#said.filter(({ stream }) => stream === 'news' || stream === 'chat.1');
    const one = open[this.#random(Math.max(1, open.length))];
    if (one === undefined) return;
    await this.#world.store.cancelTopicEntry(APP, one.stream as TopicName, one.entry.id);
    one.optional = true;
  }

  async #loseStore({ client }: Device): Promise<void> {
    this.#store.away = true;
    client.ack(this.#random);
    await this.#world.pass(100 + this.#random(1500));
    for (const device of this.#devices) device.client.take();
    this.#store.away = false;
    await this.#world.pass(1200);
  }

  async #killGateway(): Promise<void> {
    this.#gateway!.kill();
    await this.#world.turns(5);
    for (const device of this.#devices) {
      device.client.take();
      device.mustClaim = true;
    }
    await this.#startGateway();
  }

  /** Another account has the device for a while: what waited for this one is cancelled. `$all` too is heard from where it is then. */
  async #changeAccount(device: Device): Promise<void> {
    await this.#world.turns(10);
    device.client.take();
    await this.#world.device(device.name, { account: 'other' });
    device.client.conn.socket.terminate();
    await this.#world.turns(5);
    device.token = await this.#world.device(device.name, { account: device.name });
    device.client.forget();
    for (const said of this.#said) said.lostBy.add(device);
  }

  // ---- the clients' way

  async #startGateway(): Promise<void> {
    this.#gateway = await this.#world.gateway(SETTINGS, { store: this.#store.store });
    this.#router = await this.#gateway.router();
  }

  async #connect(device: Device): Promise<void> {
    const { client, token, levelMin } = device;
    client.take();
    await this.#world.turns(5);
    const claims = this.#random(2) === 0 || device.mustClaim;
    device.mustClaim = false;
    const positions = claims ? { positions: client.positions() } : {};
    for (const { stream, offset } of positions.positions ?? [])
      device.claimed.push({ stream, from: client.acked.get(stream) ?? 0, to: offset });
    const conn = await this.#gateway!.connect({ token, ...positions });
    client.attach(conn);
    const news = { topic: 'news' as TopicName, ...(levelMin === 0 ? {} : { filter: { levelMin } }) };
    const topics = [news, { topic: 'chat.1' as TopicName }];
    const isSubscribed = (): boolean => conn.frames.some(({ type }) => type === 'subscribed');
    // A session that opened while the store was away is told to ask again.
    for (let id = 1; id <= 100 && !isSubscribed() && conn.closed === null; id++) {
      conn.send({ type: 'subscribe', id, topics });
      const isAnswered = (): boolean => conn.frames.some((frame) => 'id' in frame && frame.id === id);
      for (let i = 0; i < 100 && !isAnswered() && conn.closed === null; i++) await this.#world.turns(2);
      if (!isSubscribed()) await this.#world.pass(100);
    }
    assert.ok(isSubscribed() || conn.closed !== null, `${this.#where}: ${device.name} is subscribed`);
    if (!isSubscribed()) await this.#connect(device);
  }

  async #settle(): Promise<void> {
    for (let i = 0; i < 160; i++) {
      await this.#world.pass(200);
      await this.#attend();
      for (const { client } of this.#devices) client.ackAll();
      await this.#world.turns(3);
    }
    await this.#world.store.sweepExpired(10_000);
  }

  // ---- what must be so

  async #check(): Promise<void> {
    const letters = await this.#deadLetters();
    for (const device of this.#devices) {
      const dead = new Set(letters.filter((letter) => letter.device === device.name).map(({ messageId }) => messageId));
      for (const stream of STREAMS) this.#checkStream(device, stream, dead);
    }
    assert.equal((await this.#gateway!.state()).unacked, 0, `${this.#where}: nothing is under way`);
    const { store } = this.#world;
    const { accepted, acked, expired, dead, cancelled, filtered } = await store.ledger(APP);
    const where = `${this.#where}: ${JSON.stringify({ accepted, acked, expired, dead, cancelled, filtered })}`;
    assert.equal(await store.countWaiting(APP), 0, where);
    assert.equal(acked + expired + dead + cancelled + filtered, accepted, where);
    // A message that was dealt with, without any ack that arrived, may have a letter and count as acked: a claim came before the cursor moved.
    const counted = letters.filter(({ stream }) => stream !== '$all');
    const surely = counted.filter((letter) => !this.#wasHandled(letter) && !this.#wasClaimed(letter)).length;
    assert.ok(dead <= counted.length, `${where}, ${counted.length} dead letters`);
    if (this.#isCalm && !this.#hasOwnTime) assert.ok(dead >= surely, `${where}, ${surely} dead letters`);
  }

  /** It died above the first that had not ended, and then its client claimed all of that before the cursor moved: that counts as acked (R8). */
  #wasClaimed({ device, stream, offset }: DeadLetter): boolean {
    if (stream.startsWith('@')) return false;
    const { claimed } = this.#devices.find(({ name }) => name === device)!;
    return claimed.some((claim) => claim.stream === stream && offset > claim.from && offset <= claim.to);
  }

  #wasHandled({ device, stream, messageId }: DeadLetter): boolean {
    const said = this.#said.find(({ entry }) => entry.id === messageId)!;
    const { client } = this.#devices.find(({ name }) => name === device)!;
    return client.handled.get(stream)?.includes(said.body.n) === true;
  }

  #checkStream(device: Device, stream: Stream, dead: ReadonlySet<MessageId>): void {
    const handled = device.client.handled.get(stream as StreamName) ?? [];
    const where = `${this.#where}: ${stream} of ${device.name}`;
    assert.deepEqual(
      handled,
      handled.toSorted((a, b) => a - b),
      `${where}: in order`,
    );
    const known = new Set(handled);
    assert.equal(known.size, handled.length, `${where}: each once`);
    for (const said of this.#said) {
      if (said.stream !== stream || !device.isOwed(said)) continue;
      const { body, entry } = said;
      // One that was dealt with may be dead as well, when none of its acks arrived.
      const ended = dead.has(entry.id) || (known.has(body.n) && !body.poison);
      assert.ok(ended, `${where}: message ${body.n} at ${entry.offset} was dealt with or is dead`);
    }
  }

  async #deadLetters(): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = [];
    let cursor: string | null = null;
    do {
      const page = await this.#world.store.deadLetters(APP, { cursor, limit: 100 });
      letters.push(...page.letters);
      cursor = page.next;
    } while (cursor !== null);
    return letters;
  }
}

function laneOf(stream: Stream): Lane | null {
  return stream === '@normal' ? 'normal' : stream === '@high' ? 'high' : null;
}
