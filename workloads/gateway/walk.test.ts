// A seeded random walk over one gateway: hints are lost, repeated and reordered, acks are late or missing, clients reconnect. Whatever
// happens, each client's positions end at the heads, and what it was given grows without a gap.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageFrame, ServerFrame } from '../protocol/frames.ts';
import type { Epoch } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import { World } from './fixtures.ts';
import type { Entry, TestGateway } from './fixtures.ts';
import { turns } from './test-client.ts';
import type { TestClient } from './test-client.ts';

const STEPS = 250;
const STREAMS = ['@normal', '@high', '$all'] as const;
type Stream = (typeof STREAMS)[number];

function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A client as the protocol asks it to be: accepts what continues its position, ignores what it has, minds no gap silently. */
class Receiver {
  readonly held = new Map<StreamName, { epoch: Epoch; offset: number }>();
  readonly given = new Map<StreamName, unknown[]>();
  readonly #seed: number;
  #read = 0;
  client: TestClient;

  constructor(client: TestClient, seed: number) {
    this.client = client;
    this.#seed = seed;
  }
  attach(client: TestClient): void {
    this.client = client;
    this.#read = 0;
  }
  take(): void {
    for (const frame of this.client.frames.slice(this.#read)) this.#one(frame);
    this.#read = this.client.frames.length;
  }
  #one(frame: ServerFrame): void {
    if (frame.type === 'welcome') for (const state of frame.streams) this.#moved(state);
    else if (frame.type === 'stream') this.#moved(frame.state);
    else if (frame.type === 'message') this.#message(frame);
    else if (frame.type === 'error') assert.fail(`seed ${this.#seed}: ${JSON.stringify(frame)}`);
  }
  #moved({ stream, epoch, offset }: { stream: StreamName; epoch: Epoch; offset: number }): void {
    const before = this.held.get(stream);
    if (before === undefined || offset > before.offset) this.held.set(stream, { epoch, offset });
  }
  #message({ stream, offset, prev, body }: MessageFrame): void {
    const held = this.held.get(stream);
    assert.ok(held !== undefined && offset !== undefined, `seed ${this.#seed}: ${stream} was not opened`);
    if (offset <= held.offset) return;
    assert.ok((prev ?? offset - 1) <= held.offset, `seed ${this.#seed}: ${stream} gap before ${offset}`);
    held.offset = offset;
    this.given.set(stream, [...(this.given.get(stream) ?? []), body]);
  }
  ack(random: (below: number) => number): void {
    const positions = [...this.held].filter(() => random(3) > 0).map(([stream, { offset }]) => ({ stream, offset }));
    this.client.send({ type: 'ack', positions });
  }
  positions(): Position[] {
    return [...this.held].map(([stream, place]) => ({ stream, ...place }));
  }
}

test('nothing is lost, doubled or out of order, whatever hints and acks do', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = seeded(seed);
  const world = new World();
  try {
    const gateway = await world.gateway({ windowMessagesMax: 8, ackTimeoutMs: 2000, positionCheckMs: 2000 });
    const router = await gateway.router();
    const token = await world.device('d');
    const receiver = new Receiver(await gateway.connect({ token }), seed);
    const sent = new Map<Stream, number[]>(STREAMS.map((stream) => [stream, []]));
    const hints: { stream: Stream; entry: Entry }[] = [];
    const hint = async (at: { stream: Stream; entry: Entry }): Promise<unknown> =>
      at.stream === '$all'
        ? router.toTopic('$all', at.entry)
        : router.toDevice('d', at.entry, at.stream === '@high' ? 'high' : 'normal');
    for (let step = 0; step < STEPS; step++) {
      const stream = STREAMS[random(STREAMS.length)]!;
      const entry =
        stream === '$all'
          ? await world.publish('$all', step)
          : await world.appendTo('d', step, stream === '@high' ? 'high' : 'normal');
      sent.get(stream)!.push(step);
      hints.push({ stream, entry });
      const fate = random(10);
      if (fate < 5) await hint(hints.at(-1)!);
      else if (fate < 7) await hint(hints[random(hints.length)]!); // an old one again, this one perhaps never
      receiver.take();
      if (random(4) === 0) receiver.ack(random);
      if (random(6) === 0) await world.pass(50 + random(300));
      if (random(40) === 0) receiver.attach(await reconnect(gateway, receiver, token));
    }
    for (let i = 0; i < 80; i++) {
      await world.pass(200);
      receiver.take();
      receiver.ack(() => 2);
      await turns(5);
    }
    receiver.take();
    for (const stream of STREAMS)
      assert.deepEqual(receiver.given.get(stream as StreamName) ?? [], sent.get(stream), `seed ${seed}: ${stream}`);
    assert.equal((await gateway.state()).unacked, 0, `seed ${seed}`);
  } finally {
    await world.end();
  }
});

async function reconnect(gateway: TestGateway, receiver: Receiver, token: string): Promise<TestClient> {
  receiver.take();
  receiver.client.socket.terminate();
  return gateway.connect({ token, positions: receiver.positions() });
}
