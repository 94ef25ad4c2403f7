import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { SymmetricKey } from '../protocol/credentials.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { LinkFrame } from '../protocol/link.ts';
import { aManualClock, systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { linkBackoffMs, openLink, splitAddress } from './client.ts';
import type { Link, LinkOptions } from './client.ts';
import { newLinkCounters } from './counters.ts';
import { EVERY_FRAME, aDelivery, aLinkKey, plain } from './fixtures.ts';
import { HANDSHAKES_MAX, startLinkServer } from './server.ts';
import type { LinkServer, LinkServerOptions } from './server.ts';

async function aServer(t: TestContext, key: SymmetricKey, more: Partial<LinkServerOptions> = {}): Promise<LinkServer> {
  const server = await startLinkServer({
    bind: '127.0.0.1',
    port: 0,
    keys: () => [key],
    name: 'gw-0',
    clock: systemClock,
    log: silentLog,
    onFrame: () => {},
    onClose: () => {},
    ...more,
  });
  t.after(() => server.kill());
  return server;
}

interface Watched {
  readonly link: Link;
  readonly downs: string[];
  next(event: 'up' | 'down' | 'frame'): Promise<void>;
}

function aLink(t: TestContext, port: number, key: SymmetricKey, more: Partial<LinkOptions> = {}): Watched {
  const waiting: { event: string; resolve: () => void }[] = [];
  const tell = (event: string): void => {
    for (const entry of waiting.splice(0)) {
      if (entry.event === event) entry.resolve();
      else waiting.push(entry);
    }
  };
  const downs: string[] = [];
  const link = openLink({
    address: `127.0.0.1:${port}`,
    keys: () => [key],
    name: 'router-1',
    clock: systemClock,
    log: silentLog,
    random: () => 0,
    ...more,
    onFrame(frame) {
      more.onFrame?.(frame);
      tell('frame');
    },
    onUp: () => tell('up'),
    onDown(reason) {
      downs.push(reason);
      tell('down');
    },
  });
  t.after(() => link.kill());
  return { link, downs, next: (event) => new Promise((resolve) => waiting.push({ event, resolve })) };
}

test('frames go both ways in order, those of one tick in one write', async (t) => {
  const key = aLinkKey();
  const heard: LinkFrame[] = [];
  const server = await aServer(t, key, {
    onFrame(peer, frame) {
      heard.push(frame);
      assert.deepEqual([peer.role, peer.name], ['router', 'router-1']);
      if (frame.kind === 'deliver-topic')
        peer.send({ kind: 'answer', seq: frame.seq, outcome: 'not-here', sessions: 0 });
    },
  });
  const back: LinkFrame[] = [];
  const counters = newLinkCounters();
  const watched = aLink(t, server.port, key, { counters, onFrame: (frame) => back.push(frame) });
  await watched.next('up');
  const answered = watched.next('frame');
  for (const frame of EVERY_FRAME) assert.equal(watched.link.send(frame), 'queued');
  await answered;
  const visible = EVERY_FRAME.filter(({ kind }) => kind !== 'ping' && kind !== 'pong');
  while (heard.length < visible.length) await new Promise(setImmediate);
  assert.deepEqual(plain(heard), plain(visible));
  assert.deepEqual(back, [{ kind: 'answer', seq: 3, outcome: 'not-here', sessions: 0 }]);
  assert.equal(counters.writes, 1);
});

test('a link comes back by itself after its server was gone, and says down in between', async (t) => {
  const key = aLinkKey();
  const first = await aServer(t, key);
  const watched = aLink(t, first.port, key);
  await watched.next('up');
  const down = watched.next('down');
  first.kill();
  await down;
  assert.equal(watched.downs[0], 'peer-closed');
  assert.equal(watched.link.send(aDelivery()), 'down');
  const up = watched.next('up');
  await aServer(t, key, { port: first.port });
  await up;
  assert.equal(watched.link.send(aDelivery()), 'queued');
});

test('another key is refused at both ends under that name, and nothing is sent on such a link', async (t) => {
  const server = await aServer(t, aLinkKey(), { onFrame: () => assert.fail('no frame may pass') });
  const watched = aLink(t, server.port, aLinkKey());
  await watched.next('down');
  assert.deepEqual(watched.downs, ['handshake-wrong-key']);
  assert.equal(watched.link.send(aDelivery()), 'down');
  assert.equal(server.peers().length, 0);
});

test('closing sends what was queued first; the server forgets the peer', async (t) => {
  const key = aLinkKey();
  let heard = 0;
  const closed = Promise.withResolvers<void>();
  const server = await aServer(t, key, { onFrame: () => heard++, onClose: () => closed.resolve() });
  const watched = aLink(t, server.port, key);
  await watched.next('up');
  for (let i = 0; i < 1000; i++) watched.link.send(aDelivery());
  watched.link.close();
  await closed.promise;
  assert.equal(heard, 1000);
  assert.equal(server.peers().length, 0);
});

test('a peer that does not read fills the buffer up to its bound, then frames are refused as full', async (t) => {
  const key = aLinkKey();
  const server = await aServer(t, key);
  const counters = newLinkCounters();
  const watched = aLink(t, server.port, key, { counters, bufferBytesMax: 10_000 });
  await watched.next('up');
  const record = new Uint8Array(1000);
  const outcomes = Array.from({ length: 20 }, () => watched.link.send(aDelivery({ record })));
  const taken = outcomes.indexOf('full');
  assert.ok(taken >= 9 && taken <= 10, `${taken} taken`);
  assert.equal(counters.full, 20 - taken);
});

test('a link is silent after three intervals without a sign, and ends', async (t) => {
  const key = aLinkKey();
  const clock = aManualClock();
  const server = await aServer(t, key);
  const watched = aLink(t, server.port, key, { clock, pingMs: 1000 });
  await watched.next('up');
  const down = watched.next('down');
  clock.advance(3000); // without letting any answer in
  await down;
  assert.deepEqual(watched.downs, ['silent']);
});

test('pings keep an idle link, and never reach the owner', async (t) => {
  const key = aLinkKey();
  const clock = aManualClock();
  const counters = newLinkCounters();
  const server = await aServer(t, key, { onFrame: () => assert.fail('a ping is not for the owner') });
  const watched = aLink(t, server.port, key, { clock, counters, pingMs: 1000 });
  await watched.next('up');
  for (let i = 1; i <= 10; i++) {
    clock.advance(1000);
    while (counters.framesIn < i) await new Promise(setImmediate);
  }
  assert.deepEqual(watched.downs, []);
});

/** A raw connection to the server; resolves with the reason it was closed for. */
async function reasonFor(server: LinkServer, bytes: Buffer): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: server.port });
  socket.on('error', () => {});
  socket.end(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  while (server.counters.closed.size === 0) await new Promise(setImmediate);
  return [...server.counters.closed.keys()].join();
}

test('bytes that are no handshake, or one past 2 KiB, close the connection and are counted', async (t) => {
  const header = (length: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(length);
    return bytes;
  };
  const cases: readonly [Buffer, string][] = [
    [Buffer.concat([header(3), Buffer.from('abc')]), 'handshake-malformed'],
    [header(2049), 'handshake-malformed'],
    [Buffer.concat([header(1), Buffer.from([64])]), 'handshake-malformed'],
    [Buffer.from([1]), 'peer-closed'],
  ];
  for (const [bytes, reason] of cases) assert.equal(await reasonFor(await aServer(t, aLinkKey()), bytes), reason);
});

test('a connection that says nothing is closed after 5 s, and only so many may wait', async (t) => {
  const clock = aManualClock();
  const server = await aServer(t, aLinkKey(), { clock });
  const sockets = Array.from({ length: HANDSHAKES_MAX + 1 }, () =>
    connect({ host: '127.0.0.1', port: server.port }).on('error', () => {}),
  );
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const one = await Promise.race(
    sockets.map((socket) => new Promise((resolve) => socket.once('close', () => resolve(1)))),
  );
  assert.equal(one, 1);
  assert.equal(server.counters.closed.get('handshakes-full'), 1);
  clock.advance(5000);
  assert.equal(server.counters.closed.get('handshake-timeout'), HANDSHAKES_MAX);
});

test('a frame past the limit is an error at whoever sends it, and the link stays', async (t) => {
  const key = aLinkKey();
  const server = await aServer(t, key);
  const watched = aLink(t, server.port, key);
  await watched.next('up');
  assert.throws(() => watched.link.send(aDelivery({ record: new Uint8Array(LIMITS.linkFrameBytesMax) })), {
    code: 'link-frame',
  });
  assert.equal(watched.link.isUp(), true);
});

test('waits between attempts double under full jitter and stay within 10 ms and 3 s', () => {
  const most = [0, 1, 2, 3, 4, 5, 9, 60].map((failures) => linkBackoffMs(failures, () => 0.999));
  assert.deepEqual(most, [99, 199, 399, 799, 1598, 2997, 2997, 2997]);
  assert.equal(
    linkBackoffMs(5, () => 0),
    10,
  );
});

test('addresses are host:port, IPv6 in brackets; others are refused', () => {
  assert.deepEqual(splitAddress('10.0.0.1:7070'), { host: '10.0.0.1', port: 7070 });
  assert.deepEqual(splitAddress('[::1]:7070'), { host: '::1', port: 7070 });
  for (const wrong of ['host', 'host:', ':1', 'host:0', 'host:65536', 'host:x'])
    assert.throws(() => splitAddress(wrong), RangeError, wrong);
});
