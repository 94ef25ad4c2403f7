import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { CLOSE } from '../../protocol/codes.ts';
import type { CloseName } from '../../protocol/codes.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { signTicket, signToken } from '../../runtime/credentials.ts';
import { World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';

let world: World;
let gateway: TestGateway;
let token: string;
let serial = 0;
const position = { stream: '@normal', epoch: 'e', offset: 0 };
const hello = (changes: object = {}): string => JSON.stringify({ type: 'hello', version: 1, token, ...changes });

/** What one text of exactly so many bytes looks like to the codec: a ping with padding. */
const pingOf = (bytes: number): string => `{"type":"ping"${' '.repeat(bytes - 15)}}`;

before(async () => {
  world = new World();
  gateway = await world.gateway({ connectionsMax: 50 });
  token = await world.device('bad');
});
after(() => world.end());

async function welcomed(): Promise<TestClient> {
  return gateway.connect({ token: await world.device(`good-${serial++}`) });
}

describe('before the hello', () => {
  const cases: readonly [title: string, send: () => string | Uint8Array, close: CloseName, text?: RegExp][] = [
    ['something that is no JSON', () => 'hello', 'protocol', /expected JSON/],
    ['a JSON text that is no object', () => '[]', 'protocol', /expected a JSON object/],
    ['a frame without a type', () => '{}', 'protocol', /type: expected/],
    ['a frame of an unknown type', () => '{"type":"join"}', 'protocol', /got "join"/],
    ['a binary message', () => Buffer.from('{"type":"ping"}'), 'protocol', /binary/],
    ['text that is no UTF-8', () => Buffer.from([0xff]), 'protocol'],
    ['a ping', () => '{"type":"ping"}', 'protocol', /a hello first/],
    ['an ack', () => '{"type":"ack","positions":[]}', 'protocol', /a hello first/],
    ['a subscribe with an id', () => '{"type":"subscribe","id":1,"topics":[]}', 'protocol', /a hello first/],
    ['a hello without version', () => hello({ version: undefined }), 'protocol', /version/],
    ['a hello of another version', () => hello({ version: 2 }), 'version', /expected 1, got 2/],
    ['a hello without credential', () => hello({ token: undefined }), 'protocol', /token or ticket/],
    ['a hello with a token of the wrong type', () => hello({ token: 5 }), 'protocol', /token: expected a text/],
    ['a hello with a forged token', () => hello({ token: `${token.slice(0, -4)}AAAA` }), 'tokenInvalid'],
    ['a hello with a forged ticket', () => hello({ token: undefined, ticket: 'a.b.c' }), 'ticketStale'],
    [
      'a hello with 257 positions',
      () => hello({ positions: Array.from({ length: LIMITS.positionsPerFrameMax + 1 }, () => position) }),
      'protocol',
      /at most 256, got 257/,
    ],
    [
      'a hello with a wrong position',
      () => hello({ positions: [{ ...position, offset: '1' }] }),
      'protocol',
      /positions\[0\]/,
    ],
    ['a frame past the size limit', () => pingOf(LIMITS.clientFrameBytesMax + 1), 'tooLarge'],
  ];
  for (const [title, send, close, text] of cases)
    test(`${title} is answered with ${CLOSE[close].code} ${CLOSE[close].reason}`, async () => {
      const client = await gateway.socket();
      const data = send();
      client.socket.send(data, { binary: typeof data !== 'string' && title !== 'text that is no UTF-8' });
      const { code, reason } = await client.end();
      assert.equal(code, CLOSE[close].code);
      assert.ok(reason.startsWith(CLOSE[close].reason), reason);
      if (text !== undefined) assert.match(reason, text);
    });

  test('nothing at all is answered with 4010 once the hello timeout has passed, not before', async () => {
    const client = await gateway.socket();
    await world.pass(9900);
    assert.equal(client.closed, null);
    await world.pass(200);
    assert.equal((await client.end()).code, CLOSE.helloTimeout.code);
  });

  test('an expired token is answered with 4009, one of another cluster with 4501, a revoked one with 4502', async () => {
    const nowS = Math.floor(world.clock.nowMs() / 1000);
    const claims = { app: 'shop', account: 'ann', device: 'bad', topics: [], jti: 'x' } as never;
    const sign = (changes: object): string =>
      signToken(
        { ...(claims as object), iss: 'demo', iat: nowS - 10, exp: nowS + 10, ...changes } as never,
        world.keys.current(),
      );
    await world.store.closeDevice('shop' as never, 'bad' as never);
    const codes: number[] = [];
    for (const bad of [sign({ exp: nowS - 1 }), sign({ iss: 'other' }), sign({})]) {
      const client = await gateway.socket();
      client.send({ type: 'hello', version: 1, token: bad });
      codes.push((await client.end()).code);
    }
    assert.deepEqual(codes, [CLOSE.tokenExpired.code, CLOSE.tokenInvalid.code, CLOSE.revoked.code]);
  });

  test('a ticket for other gateways and an expired one are answered with 4005', async () => {
    const nowS = Math.floor(world.clock.nowMs() / 1000);
    const claims = { app: 'shop', account: 'ann', device: 'x', topics: [], generation: 1, targets: [], iat: nowS - 9 };
    for (const changes of [{ targets: ['gateway-9'], exp: nowS + 9 }, { exp: nowS - 1 }]) {
      const client = await gateway.socket();
      client.send({
        type: 'hello',
        version: 1,
        ticket: signTicket({ ...claims, ...changes } as never, world.keys.current()),
      });
      assert.equal((await client.end()).code, CLOSE.ticketStale.code);
    }
  });
});

describe('after the welcome', () => {
  test('a second hello is answered with 4503', async () => {
    const client = await welcomed();
    client.socket.send(hello());
    const { code, reason } = await client.end();
    assert.deepEqual([code, reason], [4503, 'protocol: hello: expected once']);
  });
  const refused: readonly [title: string, frame: object, message: RegExp][] = [
    ['a subscribe with a wrong topic', { type: 'subscribe', id: 3, topics: [{ topic: '$x' }] }, /topics\[0\]\.topic/],
    ['an upstream without body', { type: 'upstream', id: 3, kind: 'k', key: 'k' }, /body/],
    ['a frame of an unknown type that has an id', { type: 'vote', id: 3 }, /got "vote"/],
  ];
  for (const [title, frame, message] of refused)
    test(`${title} is answered with an error frame, and the connection stays`, async () => {
      const client = await welcomed();
      client.socket.send(JSON.stringify(frame));
      const error = await client.next('error');
      assert.deepEqual([error.id, error.code], [3, 'invalid-request']);
      assert.match(error.message, message);
      client.send({ type: 'ping' });
      await client.next('pong');
    });
  for (const [type, more] of [
    ['upstream', '"kind":"note","key":"k"'],
    ['send', '"key":"k","to":{"device":"d"}'],
  ] as const)
    test(`a body of ${type} that is nested past the bound is answered with an error frame, and nobody is harmed`, async () => {
      const client = await welcomed();
      for (const depth of [LIMITS.bodyDepthMax + 1, 30_000]) {
        const body = '['.repeat(depth) + ']'.repeat(depth);
        client.socket.send(`{"type":"${type}","id":7,${more},"body":${body}}`);
        const { id, code, message } = await client.next('error');
        assert.deepEqual([id, code], [7, 'invalid-request']);
        assert.match(message, /body: expected at most 64 levels/);
      }
      const body = '['.repeat(LIMITS.bodyDepthMax) + ']'.repeat(LIMITS.bodyDepthMax);
      client.socket.send(`{"type":"${type}","id":8,${more},"body":${body}}`);
      assert.notEqual((await client.next('error')).code, 'invalid-request', 'at the bound it is taken, here by nobody');
    });

  test('an ack beyond what was written is answered with an error frame', async () => {
    const device = `ack-${serial++}`;
    const client = await (async () => {
      const credential = await world.device(device);
      await world.appendTo(device, 1);
      return gateway.connect({ token: credential });
    })();
    await client.next('message');
    client.ack('@normal', 2);
    assert.equal((await client.next('error')).code, 'invalid-request');
    client.ack('@high', 5);
    client.ack('unknown', 5);
    client.send({ type: 'ping' });
    await client.next('pong');
  });
  test('a frame of exactly the size limit is taken', async () => {
    const client = await welcomed();
    client.socket.send(pingOf(LIMITS.clientFrameBytesMax));
    await client.next('pong');
  });
  test('a WebSocket ping gets its pong', async () => {
    const client = await welcomed();
    const pong = new Promise<string>((resolve) => client.socket.once('pong', (data) => resolve(data.toString())));
    client.socket.ping('are you there');
    assert.equal(await pong, 'are you there');
  });
});

describe('the client port', () => {
  test('refuses a client without the subprotocol with 400', async () => {
    assert.match(await refusalOf(gateway.url), /400/);
    assert.match(await refusalOf(gateway.url, 'pushcluster.v2.json'), /400/);
  });
  test('answers plain HTTP with 426', async () => {
    const response = await fetch(gateway.url.replace('ws:', 'http:'), { headers: { connection: 'close' } });
    assert.equal(response.status, 426);
    await response.text();
  });
  test('takes connections up to the limit and refuses the next with 503 and Retry-After', async () => {
    const small = await world.gateway({ connectionsMax: 2 });
    await small.socket();
    const second = await small.socket();
    const answer = await rawUpgrade(small.role.ports['client']!);
    assert.match(answer, /^HTTP\/1\.1 503 /);
    assert.match(answer, /retry-after: \d+/i);
    second.socket.terminate();
    await world.pass(100);
    await small.socket();
  });
});

test('a client that never gets to its upgrade is answered 408 and cut after its time, however it drips', async () => {
  const { url } = await world.gateway({ helloTimeoutMs: 200 });
  const starts = ['', 'GET / HTTP/1.1\r\nhost: x\r\n', 'GET / HTTP/1.1\r\nupgrade: websocket\r\nx-long: '];
  const startedMs = performance.now();
  const answers = await Promise.all(starts.map((start) => drip(Number(new URL(url).port), start)));
  for (const answer of answers) assert.match(answer, /^HTTP\/1.1 408/);
  assert.ok(performance.now() - startedMs < 5000);
});

/** Sends a beginning, then a byte each 20 ms where one has begun; answers all that came until the connection was closed. */
function drip(port: number, beginning: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(beginning));
    const dripping = setInterval(() => socket.write(beginning === '' ? '' : 'x'), 20);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(dripping);
      resolve(text);
    });
  });
}

function refusalOf(url: string, protocol?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, protocol === undefined ? [] : [protocol]);
    socket.on('error', (error) => resolve(error.message));
    socket.on('open', () => reject(new Error('was taken')));
  });
}
function rawUpgrade(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
    const lines = [
      'GET / HTTP/1.1',
      'Host: x',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
    ];
    lines.push(`Sec-WebSocket-Key: ${'A'.repeat(22)}==`, 'Sec-WebSocket-Protocol: pushcluster.v1.json', '', '');
    socket.write(lines.join('\r\n'));
  });
}
