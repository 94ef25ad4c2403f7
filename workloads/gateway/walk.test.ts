// Seeded random walks over gateways and a store: hints are lost, repeated and reordered, acks are late, lost, or by id, messages are
// refused, expire or are cancelled, sockets drop, gateways are killed, the store goes away, the device changes its account. Whatever happens:
// nothing durable is lost, order is kept, each message is dealt with once, poison ends as dead letters, and the ledger is exact when
// everything is quiet (R4, R5, R8, R9, R12).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageId, TopicName } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';
import { aStoreThatFails } from './failing-store.ts';
import type { FailingStore } from './failing-store.ts';
import { APP, World } from './fixtures.ts';
import type { Entry, TestGateway, TestRouter } from './fixtures.ts';
import { turns } from './test-client.ts';
import { WalkClient } from './walk-client.ts';
import type { WalkBody } from './walk-client.ts';

const WALKS = 6;
const STEPS = 200;
const STREAMS = ['@normal', '@high', '$all', 'news', 'chat.1'] as const;
type Stream = (typeof STREAMS)[number];
const LEVEL_MIN = 5;
const SETTINGS = { windowMessagesMax: 8, ackTimeoutMs: 400, positionCheckMs: 1000, cursorFlushMs: 300, leaseMs: 3000 };

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
  readonly entry: Entry;
  readonly body: WalkBody;
  /** It must be dealt with; otherwise it may be, where it was in time. */
  owed: boolean;
}

class Walk {
  readonly #world = new World();
  readonly #store: FailingStore;
  readonly #random: Random;
  readonly #where: string;
  readonly #client: WalkClient;
  readonly #said: Said[] = [];
  #gateway: TestGateway | null = null;
  #router: TestRouter | null = null;
  #token = '';
  #n = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
    this.#where = `seed ${seed}`;
    this.#client = new WalkClient(this.#random, this.#where);
    this.#store = aStoreThatFails(this.#world.store);
  }

  async run(): Promise<void> {
    try {
      await this.#startGateway();
      this.#token = await this.#world.device('d');
      await this.#connect();
      for (let step = 0; step < STEPS; step++) await this.#step();
      await this.#settle();
      await this.#check();
    } finally {
      await this.#world.end();
    }
  }

  async #step(): Promise<void> {
    const what = this.#random(100);
    if (what < 55) await this.#say();
    else if (what < 75) this.#client.ack(this.#random);
    else if (what < 88) await this.#world.pass(50 + this.#random(400));
    else if (what < 92) this.#client.conn.socket.terminate();
    else if (what < 94) await this.#loseAck();
    else if (what < 96) await this.#cancel();
    else if (what < 98) await this.#loseStore();
    else if (what < 99) await this.#killGateway();
    else await this.#changeAccount();
    if (!this.#client.connected) await this.#connect();
    this.#client.take();
  }

  // ---- what happens

  async #say(): Promise<void> {
    const stream = STREAMS[this.#random(STREAMS.length)]!;
    const body: WalkBody = {
      n: ++this.#n,
      poison: this.#random(20) === 0,
      failures: this.#random(10) === 0 ? 1 + this.#random(2) : 0,
    };
    const expires = this.#random(12) === 0;
    const level = this.#random(10);
    const more = {
      level,
      attemptsMax: 4,
      expiresAtMs: expires ? this.#world.clock.nowMs() + 50 + this.#random(500) : 0,
    };
    const entry =
      stream === '@normal' || stream === '@high'
        ? await this.#world.appendTo('d', body, stream === '@high' ? 'high' : 'normal', more)
        : await this.#world.publish(stream, body, more);
    const owed = !expires && !(stream === 'news' && level < LEVEL_MIN);
    this.#said.push({ stream, entry, body, owed });
    const fate = this.#random(10);
    if (fate < 5) await this.#hint(this.#said.at(-1)!);
    else if (fate < 7) await this.#hint(this.#said[this.#random(this.#said.length)]!); // an old one again, this one perhaps never
  }

  async #hint({ stream, entry }: Said): Promise<void> {
    if (stream === '@normal' || stream === '@high')
      await this.#router!.toDevice('d', entry, stream === '@high' ? 'high' : 'normal', 0);
    else await this.#router!.toTopic(stream, entry, 0);
  }

  async #loseAck(): Promise<void> {
    this.#client.ackAll();
    this.#client.conn.socket.terminate();
    await turns(2);
  }

  async #cancel(): Promise<void> {
    const open = this.#said.filter(({ stream }) => stream === 'news' || stream === 'chat.1');
    const one = open[this.#random(Math.max(1, open.length))];
    if (one === undefined) return;
    await this.#world.store.cancelTopicEntry(APP, one.stream as TopicName, one.entry.id);
    one.owed = false;
  }

  async #loseStore(): Promise<void> {
    this.#store.away = true;
    this.#client.ack(this.#random);
    await this.#world.pass(100 + this.#random(1500));
    this.#client.take();
    this.#store.away = false;
    await this.#world.pass(1200);
  }

  async #killGateway(): Promise<void> {
    this.#gateway!.kill();
    await turns(5);
    await this.#startGateway();
  }

  /** Another account has the device for a while: what waited for this one is cancelled. */
  async #changeAccount(): Promise<void> {
    await turns(10);
    this.#client.take();
    await this.#world.device('d', { account: 'bob' });
    this.#client.conn.socket.terminate();
    await turns(5);
    this.#token = await this.#world.device('d');
    this.#client.forget();
    // `$all` too: the next session hears it from where it is then.
    for (const said of this.#said) said.owed = false;
  }

  // ---- the client's way

  async #startGateway(): Promise<void> {
    this.#gateway = await this.#world.gateway(SETTINGS, { store: this.#store.store });
    this.#router = await this.#gateway.router();
  }

  async #connect(): Promise<void> {
    this.#client.take();
    await turns(5);
    const positions = this.#random(2) === 0 ? {} : { positions: this.#client.positions() };
    const conn = await this.#gateway!.connect({ token: this.#token, ...positions });
    this.#client.attach(conn);
    const filter = { levelMin: LEVEL_MIN };
    const topics = [{ topic: 'news' as TopicName, filter }, { topic: 'chat.1' as TopicName }];
    conn.send({ type: 'subscribe', id: 1, topics });
    for (let i = 0; i < 40 && !conn.frames.some(({ type }) => type === 'subscribed'); i++) await turns(2);
    assert.ok(
      conn.frames.some(({ type }) => type === 'subscribed'),
      `${this.#where}: subscribed`,
    );
  }

  async #settle(): Promise<void> {
    for (let i = 0; i < 160; i++) {
      await this.#world.pass(200);
      if (!this.#client.connected) await this.#connect();
      this.#client.take();
      this.#client.ackAll();
      await turns(3);
    }
    await this.#world.store.sweepExpired(10_000);
  }

  // ---- what must be so

  async #check(): Promise<void> {
    const { store } = this.#world;
    const dead = await this.#deadLetters();
    for (const stream of STREAMS) {
      const handled = this.#client.handled.get(stream as StreamName) ?? [];
      const said = this.#said.filter((one) => one.stream === stream);
      const where = `${this.#where}: ${stream}`;
      assert.deepEqual(
        handled,
        handled.toSorted((a, b) => a - b),
        `${where}: in order, each once`,
      );
      assert.equal(new Set(handled).size, handled.length, `${where}: each once`);
      const known = new Set(handled);
      for (const { owed, body, entry } of said) {
        const at = `${where}: message ${body.n} at ${entry.offset}`;
        if (body.poison) assert.ok(!owed || dead.has(entry.id), `${at} is a dead letter`);
        else if (owed) assert.ok(known.has(body.n) || dead.has(entry.id), `${at} was dealt with`);
      }
    }
    assert.equal((await this.#gateway!.state()).unacked, 0, `${this.#where}: nothing is under way`);
    const { accepted, acked, expired, dead: died, cancelled, filtered } = await store.ledger(APP);
    const ledger = { accepted, acked, expired, dead: died, cancelled, filtered };
    assert.equal(await store.countWaiting(APP), 0, `${this.#where}: ${JSON.stringify(ledger)}`);
    assert.equal(acked + expired + died + cancelled + filtered, accepted, `${this.#where}: ${JSON.stringify(ledger)}`);
  }

  async #deadLetters(): Promise<ReadonlySet<MessageId>> {
    const ids = new Set<MessageId>();
    let cursor: string | null = null;
    do {
      const page = await this.#world.store.deadLetters(APP, { cursor, limit: 100 });
      for (const { messageId } of page.letters) ids.add(messageId);
      cursor = page.next;
    } while (cursor !== null);
    return ids;
  }
}

for (let i = 0; i < WALKS; i++)
  test(`walk ${i + 1}: nothing is lost, doubled or out of order, and the ledger is exact`, async () => {
    await new Walk(Math.floor(Math.random() * 2 ** 31)).run();
  });
