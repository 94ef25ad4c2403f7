import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { decodeFrame } from '../../link/codec.ts';
import { FrameWriter } from '../../link/frame-writer.ts';
import { Framer } from '../../link/framer.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { LinkFrame } from '../../protocol/link.ts';
import { aManualClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import { RefusedError } from '../../protocol/codes.ts';
import { API_KEY, aDevice, aRouter, aStore, anApp, appsText } from '../fixtures.ts';
import { openTcpClient } from './tcp-client.ts';
import {
  TCP_AUTH_BYTES_MAX,
  TCP_AUTH_MS,
  TCP_CONNECTIONS_MAX,
  TCP_IN_FLIGHT_MAX,
  TCP_STALL_MS,
  startTcpDoor,
} from './tcp-door.ts';
import type { TcpDoorOptions } from './tcp-door.ts';

type Answer = { readonly status: number; readonly body: unknown };

/** A door with commands the test answers. */
async function aDoor(t: TestContext, run: (op: string, bytes: Uint8Array) => Promise<Answer>) {
  const clock = aManualClock();
  const state = { revoked: false };
  const options: TcpDoorOptions = {
    bind: '127.0.0.1',
    port: 0,
    authorizer: {
      authorize: async (header) => {
        if (header === `Bearer ${API_KEY}` && !state.revoked) return anApp();
        throw new RefusedError('unauthenticated', 'expected a key of an app');
      },
    },
    commands: { run: ({ op, bytes }) => run(op, bytes) },
    clock,
    log: silentLog,
    onReply: () => {},
  };
  const door = await startTcpDoor(options);
  t.after(() => door.kill());
  return { door, clock, state, address: { host: '127.0.0.1', port: door.port } };
}

/** A bare socket: sends bytes, collects frames, resolves when the other side closed. */
function aSocket(t: TestContext, port: number) {
  const socket: Socket = connect({ port, host: '127.0.0.1' });
  t.after(() => socket.destroy());
  const frames: { status: number; seq: number; body: string }[] = [];
  const framer = new Framer(1024 * 1024);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) =>
    framer.feed(chunk, (payload) => {
      const frame = decodeFrame(payload);
      if (frame.kind === 'reply') frames.push({ ...frame, body: Buffer.from(frame.body).toString() });
    }),
  );
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  const send = (...sent: readonly LinkFrame[]): void => {
    const writer = new FrameWriter();
    sent.forEach((frame) => writer.write(frame));
    socket.write(writer.take());
  };
  return { socket, frames, closed, send };
}
const command = (seq: number, op: string, body: unknown = {}): LinkFrame => ({
  kind: 'command',
  seq,
  op,
  app: '',
  account: '',
  device: '',
  body: Buffer.from(JSON.stringify(body)),
});
const AUTH = command(1, 'auth', { credential: API_KEY });
const drained = (socket: Socket) => new Promise<true>((resolve) => socket.once('drain', () => resolve(true)));
/** Nothing moves for so many turns. */
const stuck = async (): Promise<false> => {
  for (let turn = 0; turn < 3000; turn++) await new Promise(setImmediate);
  return false;
};
const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise(setImmediate);
};

describe('the TCP door', () => {
  test('takes the same commands as HTTP and answers the same', async (t) => {
    const { store } = await aStore(t);
    await aDevice(store, 'phone-1');
    const { role, ask, push } = await aRouter(t, { store });
    const client = await openTcpClient({ host: '127.0.0.1', port: role.ports['tcp']! }, API_KEY);
    t.after(() => client.close());
    const message = { target: { device: 'phone-1' }, text: 'hi', idempotencyKey: 'k-1' };
    const over = [await client.ask('push', message), await push(message)];
    assert.deepEqual(
      over.map(({ status, body }) => [status, (body as { id: string }).id, (body as { duplicate: boolean }).duplicate]),
      [
        [202, (over[1]!.body as { id: string }).id, false],
        [202, (over[1]!.body as { id: string }).id, true],
      ],
    );
    assert.deepEqual((await client.ask('device', { device: 'phone-1' })).body, (await ask('/v1/devices/phone-1')).body);
    const bad = await client.ask('push', { target: { device: 'nobody' }, text: 'hi' });
    assert.deepEqual([bad.status, (bad.body as { error: { code: string } }).error.code], [404, 'device-unknown']);
    assert.equal((await client.ask('nonsense')).status, 404);
    const metrics = await (await fetch(`http://127.0.0.1:${role.ports['admin']}/metrics`)).text();
    assert.match(metrics, /route="tcp push"/);
    assert.doesNotMatch(metrics, /nonsense/, 'what a peer calls a command names no row');
  });

  test('answers pipelined commands as they end, each under its number', async (t) => {
    const ends: (() => void)[] = [];
    const { address } = await aDoor(
      t,
      (op) => new Promise((resolve) => ends.push(() => resolve({ status: 200, body: op }))),
    );
    const client = await openTcpClient(address, API_KEY);
    const order: string[] = [];
    const asked = ['a', 'b', 'c'].map((op) => client.ask(op).then(({ body }) => order.push(String(body))));
    await until(() => ends.length === 3);
    for (const at of [2, 0, 1]) {
      ends[at]!();
      const had = order.length;
      await until(() => order.length > had);
    }
    await Promise.all(asked);
    assert.deepEqual(order, ['c', 'a', 'b']);
  });

  test('has at most 256 commands of a connection under way; the others wait and lose nothing', async (t) => {
    const ends: (() => void)[] = [];
    let most = 0;
    let now = 0;
    const { address } = await aDoor(t, (op) => {
      most = Math.max(most, ++now);
      return new Promise((resolve) =>
        ends.push(() => {
          now--;
          resolve({ status: 200, body: op });
        }),
      );
    });
    const client = await openTcpClient(address, API_KEY);
    const asked = Array.from({ length: 1000 }, (_, i) => client.ask(`op-${i}`));
    let done = 0;
    for (const answer of asked) void answer.then(() => done++);
    await until(() => ends.length === TCP_IN_FLIGHT_MAX);
    while (done < 1000) {
      ends.splice(0).forEach((end) => end());
      await new Promise(setImmediate);
    }
    assert.equal(most, TCP_IN_FLIGHT_MAX);
    assert.deepEqual(
      (await Promise.all(asked)).map(({ body }) => body),
      asked.map((_, i) => `op-${i}`),
    );
  });

  const refused: readonly [title: string, frames: readonly LinkFrame[], status: number, says: RegExp][] = [
    ['a command before auth', [command(7, 'push')], 401, /auth first/],
    ['a wrong credential', [command(7, 'auth', { credential: 'wrong' })], 401, /key of an app/],
    ['no credential', [command(7, 'auth', {})], 401, /credential/],
    ['a frame that is no command', [AUTH, { kind: 'pong', seq: 1 }], 400, /expected commands/],
    ['a frame past its bound before auth', [command(7, 'auth', 'x'.repeat(TCP_AUTH_BYTES_MAX))], 413, /at most/],
  ];
  for (const [title, frames, status, says] of refused)
    test(`says what is wrong with ${title}, and closes`, async (t) => {
      const { door } = await aDoor(t, async () => assert.fail('nothing is run'));
      const peer = aSocket(t, door.port);
      peer.send(...frames);
      await peer.closed;
      const last = peer.frames.at(-1)!;
      assert.equal(last.status, status);
      assert.match(last.body, says);
      await until(() => door.connections() === 0);
    });

  test('says that bytes are no frames, and closes', async (t) => {
    const { door } = await aDoor(t, async () => assert.fail('nothing is run'));
    const peer = aSocket(t, door.port);
    peer.send(AUTH);
    await until(() => peer.frames.length === 1);
    peer.socket.write('GET / HTTP/1.1\r\n\r\n');
    await peer.closed;
    assert.deepEqual([peer.frames.at(-1)!.seq, peer.frames.at(-1)!.status], [0, 413]);
  });

  test('closes who shows no credential in time, and who stops within a frame; idle ones stay', async (t) => {
    const { door, clock } = await aDoor(t, async () => ({ status: 200, body: {} }));
    const [mute, half, idle] = [aSocket(t, door.port), aSocket(t, door.port), aSocket(t, door.port)];
    half.send(AUTH);
    idle.send(AUTH);
    await until(() => door.connections() === 3 && half.frames.length + idle.frames.length === 2);
    clock.advance(TCP_AUTH_MS + 1000);
    await mute.closed;
    half.socket.write(Buffer.from([200, 0]));
    await until(() => half.socket.bytesWritten > 0 && half.socket.writableLength === 0);
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    clock.advance(TCP_STALL_MS + 2000);
    await half.closed;
    assert.equal(door.connections(), 1);
  });

  test('says that an answer is too large for a frame, and goes on', async (t) => {
    const { address } = await aDoor(t, async (op) => ({
      status: 200,
      body: op === 'all' ? 'x'.repeat(LIMITS.linkFrameBytesMax) : op,
    }));
    const client = await openTcpClient(address, API_KEY);
    t.after(() => client.close());
    const { status, body } = await client.ask('all');
    assert.deepEqual([status, (body as { error: { code: string } }).error.code], [413, 'too-large']);
    assert.equal((await client.ask('some')).body, 'some');
  });

  test('reads no further who takes none of its answers, not even pongs, and closes it', async (t) => {
    const { door, clock } = await aDoor(t, async () => ({ status: 200, body: {} }));
    const peer = aSocket(t, door.port);
    peer.send(AUTH);
    await until(() => peer.frames.length === 1);
    peer.socket.pause();
    const writer = new FrameWriter();
    for (let seq = 0; seq < 20_000; seq++) writer.write({ kind: 'ping', seq });
    const pings = Buffer.from(writer.take());
    let sent = 0;
    while (sent < 400 && peer.socket.writableLength < pings.length) {
      if (peer.socket.write(pings)) sent++;
      else if (await Promise.race([drained(peer.socket), stuck()])) sent++;
      else break;
    }
    assert.ok(sent * pings.length < 60 * 1024 * 1024, `${sent} × ${pings.length} bytes were read`);
    clock.advance(TCP_STALL_MS + 2000);
    await until(() => door.connections() === 0);
  });

  test('closes a connection whose credential is taken back', async (t) => {
    const { door, clock, state } = await aDoor(t, async () => ({ status: 200, body: {} }));
    const peer = aSocket(t, door.port);
    peer.send(AUTH);
    await until(() => peer.frames.length === 1);
    state.revoked = true;
    clock.advance(11_000);
    await peer.closed;
    assert.deepEqual([peer.frames.at(-1)!.seq, peer.frames.at(-1)!.status], [0, 401]);
  });

  test('answers everything that was sent before the other side ended its half', async (t) => {
    const { door } = await aDoor(t, async (op) => ({ status: 200, body: op }));
    const peer = aSocket(t, door.port);
    peer.send(AUTH, ...Array.from({ length: 500 }, (_, i) => command(i + 2, `op-${i}`)));
    peer.socket.end();
    await peer.closed;
    assert.equal(peer.frames.length, 501);
  });

  test('that closes lets commands under way end and takes no new ones', async (t) => {
    let end = (): void => {};
    const { door, address } = await aDoor(
      t,
      () => new Promise((resolve) => (end = () => resolve({ status: 200, body: 'late' }))),
    );
    const client = await openTcpClient(address, API_KEY);
    const asked = client.ask('slow');
    await until(() => end.length === 0 && door.connections() === 1);
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    const closing = door.close(10_000);
    end();
    assert.equal((await asked).body, 'late');
    await closing;
    await assert.rejects(client.ask('more'), { code: 'tcp-closed' });
    await assert.rejects(openTcpClient(address, API_KEY));
  });

  test('takes as many connections as it may, and drops one more', async (t) => {
    const { door } = await aDoor(t, async () => ({ status: 200, body: {} }));
    const peers = Array.from({ length: TCP_CONNECTIONS_MAX }, () => aSocket(t, door.port));
    await until(() => door.connections() === TCP_CONNECTIONS_MAX);
    await aSocket(t, door.port).closed;
    assert.equal(door.connections(), TCP_CONNECTIONS_MAX);
    peers.forEach(({ socket }) => socket.destroy());
  });

  test('keeps to the apps as they are: a key that goes is a connection that ends', async (t) => {
    const { store } = await aStore(t);
    const { role, apps } = await aRouter(t, { store });
    const client = await openTcpClient({ host: '127.0.0.1', port: role.ports['tcp']! }, API_KEY);
    t.after(() => client.close());
    apps.set(appsText([anApp({ apiKeys: [] })], 'r2'));
    await assert.rejects(openTcpClient({ host: '127.0.0.1', port: role.ports['tcp']! }, API_KEY), /401/);
  });
});
