import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { FIELD_CHARS_MAX, RefusedError } from '../protocol/codes.ts';
import { LIMITS } from '../protocol/limits.ts';
import { CORS_HEADERS, HALF_SENT_MS, startHttpServer } from './http.ts';
import type { HttpRoute, HttpServer, HttpServerOptions } from './http.ts';
import type { Log } from './log.ts';
import { silentLog } from './log.ts';

const ROUTES: readonly HttpRoute[] = [
  { method: 'POST', path: '/v1/echo', handler: ({ body }) => ({ status: 200, body: { got: body ?? null } }) },
  { method: 'GET', path: '/v1/things', handler: ({ query }) => ({ status: 200, body: { q: query.get('q') } }) },
  { method: 'GET', path: '/v1/things/{thing}', handler: ({ params }) => ({ status: 200, body: params }) },
  { method: 'DELETE', path: '/v1/things/{thing}', handler: () => ({ status: 204 }) },
  {
    method: 'GET',
    path: '/v1/busy',
    handler: () => {
      throw new RefusedError('rate-limited', 'quota: expected at most 5 a second', {
        field: 'quota',
        retryAfterMs: 1200,
      });
    },
  },
  {
    method: 'GET',
    path: '/v1/bug',
    handler: () => {
      throw new TypeError('secret inside');
    },
  },
  {
    method: 'GET',
    path: '/v1/text',
    handler: () => ({ status: 200, body: 'plain', headers: { 'content-type': 'text/plain' } }),
  },
];

async function aServer(t: TestContext, more: Partial<HttpServerOptions> = {}): Promise<HttpServer & { url: string }> {
  const server = await startHttpServer({ bind: '127.0.0.1', port: 0, routes: ROUTES, log: silentLog, ...more });
  t.after(() => server.kill());
  return { ...server, url: `http://127.0.0.1:${server.port}` };
}
async function errorOf(response: Response): Promise<Record<string, unknown>> {
  return ((await response.json()) as { error: Record<string, unknown> }).error;
}
async function post(url: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  return await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
}

test('routes answer by method and path; parameters are percent-decoded', async (t) => {
  const { url } = await aServer(t);
  assert.deepEqual(await (await post(`${url}/v1/echo`, '{"a":1}')).json(), { got: { a: 1 } });
  assert.deepEqual(await (await fetch(`${url}/v1/things?q=x%20y`)).json(), { q: 'x y' });
  assert.deepEqual(await (await fetch(`${url}/v1/things/a%2Fb%40c`)).json(), { thing: 'a/b@c' });
  assert.equal((await fetch(`${url}/v1/things/a`, { method: 'DELETE' })).status, 204);
  const text = await fetch(`${url}/v1/text`);
  assert.deepEqual([await text.text(), text.headers.get('content-type')], ['plain', 'text/plain']);
});

test('HEAD answers as GET does, without the body', async (t) => {
  const { url } = await aServer(t);
  const response = await fetch(`${url}/v1/things/abc`, { method: 'HEAD' });
  assert.deepEqual([response.status, response.headers.get('content-length')], [200, '15']);
  assert.equal(await response.text(), '');
});

describe('is refused with a JSON error', () => {
  const cases: readonly [title: string, method: string, path: string, status: number, code: string, field?: string][] =
    [
      ['an unknown path', 'GET', '/v1/nothing', 404, 'not-found'],
      ['an empty parameter', 'GET', '/v1/things/', 404, 'not-found'],
      ['a method the path does not take', 'PUT', '/v1/things/a', 405, 'method-not-allowed'],
      ['a parameter that is not UTF-8', 'GET', '/v1/things/%ff', 400, 'invalid-request', 'thing'],
      ['OPTIONS where no other origin is allowed', 'OPTIONS', '/v1/echo', 405, 'method-not-allowed'],
    ];
  for (const [title, method, path, status, code, field] of cases)
    test(title, async (t) => {
      const { url } = await aServer(t);
      const response = await fetch(url + path, { method });
      const error = await errorOf(response);
      assert.deepEqual([response.status, error['code'], error['field']], [status, code, field]);
      assert.equal(error['traceId'], response.headers.get('x-trace-id'));
    });
});

test('405 names the methods of the path', async (t) => {
  const { url } = await aServer(t);
  const response = await fetch(`${url}/v1/things/a`, { method: 'PUT' });
  assert.equal(response.headers.get('allow'), 'GET, HEAD, DELETE');
});

describe('a body is refused, saying where', () => {
  const cases: readonly [title: string, body: string | Uint8Array<ArrayBuffer>, message: RegExp][] = [
    ['that is no JSON', '{"a": nope}', /body: expected JSON: Unexpected token/],
    ['with a fault far inside', `{"a":[${'1,'.repeat(50)}x]}`, /1,1,1,x\]\}/],
    ['that ends early', '{"a":', /ends early, after 5 characters/],
    ['that is not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), /expected UTF-8/],
  ];
  for (const [title, body, message] of cases)
    test(title, async (t) => {
      const { url } = await aServer(t);
      const response = await post(`${url}/v1/echo`, body);
      const error = await errorOf(response);
      assert.equal(response.status, 400);
      assert.match(String(error['message']), message);
    });
  test('of another content type or encoding', async (t) => {
    const { url } = await aServer(t);
    const typed = await errorOf(await post(`${url}/v1/echo`, 'a', { 'content-type': 'text/plain' }));
    assert.deepEqual([typed['code'], typed['field']], ['invalid-request', 'content-type']);
    const packed = await errorOf(await post(`${url}/v1/echo`, 'a', { 'content-encoding': 'gzip' }));
    assert.equal(packed['field'], 'content-encoding');
  });
});

test('a body of the largest size passes, one byte more answers 413, also when no length was declared', async (t) => {
  const { url } = await aServer(t, { bodyBytesMax: 1000 });
  const fitting = `"${'x'.repeat(998)}"`;
  assert.equal((await post(`${url}/v1/echo`, fitting)).status, 200);
  const declared = await post(`${url}/v1/echo`, `${fitting} `);
  assert.deepEqual([declared.status, (await errorOf(declared))['code']], [413, 'too-large']);
  const stream = new Blob([`${fitting} `]).stream();
  const chunked = await fetch(`${url}/v1/echo`, { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
  assert.equal(chunked.status, 413);
  assert.equal((await post(`${url}/v1/echo`, 'x'.repeat(3_000_000)).catch(() => ({ status: 413 }))).status, 413);
});

test('a refusal with a wait carries retry-after in whole seconds and the ms in the body', async (t) => {
  const { url } = await aServer(t);
  const response = await fetch(`${url}/v1/busy`);
  assert.deepEqual([response.status, response.headers.get('retry-after')], [429, '2']);
  const { traceId, ...rest } = await errorOf(response);
  assert.ok(traceId);
  assert.deepEqual(rest, {
    code: 'rate-limited',
    message: 'quota: expected at most 5 a second',
    field: 'quota',
    retryAfterMs: 1200,
  });
});

test('a bug of ours answers 500 without saying what it was, and logs it with the trace id', async (t) => {
  const lines: unknown[] = [];
  const log: Log = { ...silentLog, error: (keys) => lines.push(keys) };
  const { url } = await aServer(t, { log });
  const response = await fetch(`${url}/v1/bug`, { headers: { 'x-trace-id': 'trace-1' } });
  const text = await response.text();
  assert.equal(response.status, 500);
  assert.ok(!text.includes('secret'));
  assert.equal((lines[0] as { traceId: string }).traceId, 'trace-1');
});

test('a field that the caller made up is answered and logged with its first 100 characters', async (t) => {
  const lines: { field?: string | null }[] = [];
  const log: Log = { ...silentLog, debug: (keys) => lines.push(keys) };
  const { url } = await aServer(t, {
    log,
    routes: [
      {
        method: 'POST',
        path: '/v1/fields',
        handler({ body }) {
          const [field] = Object.keys(body as object);
          throw new RefusedError('invalid-request', `${field!}: is not a known field`, { field: field! });
        },
      },
    ],
  });
  for (const [chars, shown] of [
    [FIELD_CHARS_MAX, 'x'.repeat(FIELD_CHARS_MAX)],
    [FIELD_CHARS_MAX + 1, `${'x'.repeat(FIELD_CHARS_MAX)}…`],
    [100_000, `${'x'.repeat(FIELD_CHARS_MAX)}…`],
  ] as const) {
    const body = JSON.stringify({ ['x'.repeat(chars)]: 1 });
    const { field, message } = await errorOf(await post(`${url}/v1/fields`, body));
    assert.deepEqual([field, message, lines.at(-1)!.field], [shown, `${shown}: is not a known field`, shown]);
  }
});

test("the caller's trace id is kept when it is well formed, else a new one is made", async (t) => {
  const { url } = await aServer(t);
  const answered = async (headers: Record<string, string>) =>
    (await fetch(`${url}/v1/things`, { headers })).headers.get('x-trace-id');
  const id = '0af7651916cd43dd8448eb211c80319c';
  assert.equal(await answered({ traceparent: `00-${id}-b7ad6b7169203331-01` }), id);
  assert.equal(await answered({ 'x-trace-id': 'order_7-a' }), 'order_7-a');
  assert.match((await answered({ 'x-trace-id': 'no spaces or \t tabs' })) ?? '', /^[0-9a-f]{32}$/);
  assert.match((await answered({ 'x-trace-id': 'x'.repeat(65) })) ?? '', /^[0-9a-f]{32}$/);
});

test('with CORS headers a preflight answers 204, and every answer carries them', async (t) => {
  const { url } = await aServer(t, { headers: CORS_HEADERS });
  const preflight = await fetch(`${url}/v1/echo`, { method: 'OPTIONS' });
  assert.equal(preflight.status, 204);
  assert.equal((await fetch(`${url}/v1/busy`)).headers.get('access-control-allow-origin'), '*');
});

test('more requests at once than allowed are shed with a wait; routes and durations are reported', async (t) => {
  const gate = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const seen: [string | null, number][] = [];
  const handler = async () => {
    arrived.resolve();
    await gate.promise;
    return { status: 200 };
  };
  const { url } = await aServer(t, {
    routes: [{ method: 'GET', path: '/v1/slow', handler }],
    requestsInFlightMax: 1,
    onAnswer: (route, status) => seen.push([route, status]),
  });
  const slow = fetch(`${url}/v1/slow`);
  await arrived.promise;
  const shed = await fetch(`${url}/v1/slow`);
  assert.deepEqual([shed.status, shed.headers.get('retry-after')], [503, '1']);
  gate.resolve();
  assert.equal((await slow).status, 200);
  assert.deepEqual(seen, [
    [null, 503],
    ['/v1/slow', 200],
  ]);
});

test('closing lets a request under way end and takes no new connection', async (t) => {
  const gate = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const handler = async () => {
    arrived.resolve();
    await gate.promise;
    return { status: 200, body: 'done' };
  };
  const server = await aServer(t, { routes: [{ method: 'GET', path: '/v1/slow', handler }] });
  const slow = fetch(`${server.url}/v1/slow`);
  await arrived.promise;
  const closed = server.close(10_000);
  await assert.rejects(fetch(`${server.url}/v1/slow`));
  gate.resolve();
  const response = await slow;
  assert.deepEqual([response.status, response.headers.get('connection')], [200, 'close']);
  await closed;
});

test('closing cuts what does not end within its grace', async (t) => {
  const never = new Promise<never>(() => {});
  const arrived = Promise.withResolvers<void>();
  const handler = async () => {
    arrived.resolve();
    return await never;
  };
  const server = await aServer(t, { routes: [{ method: 'GET', path: '/v1/never', handler }] });
  const stuck = fetch(`${server.url}/v1/never`);
  await arrived.promise;
  await Promise.all([server.close(1), assert.rejects(stuck)]);
});

describe('a sender that is slow for ever is answered 408 and cut after its time, however it drips:', () => {
  const TIMEOUT_MS = 200;
  const POST = 'POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
  const cases: readonly [title: string, at: string, drop: string][] = [
    ['it says nothing', '', ''],
    ['a header that stands', 'GET /v1/things HTTP/1.1\r\nhost: x\r\n', ''],
    ['a header, byte by byte', 'GET /v1/things HTTP/1.1\r\nx-long: ', 'x'],
    ['headers, one by one', 'GET /v1/things HTTP/1.1\r\n', 'x: y\r\n'],
    ['a body, byte by byte', `${POST}content-length: 100000\r\n\r\n`, ' '],
    ['a body in chunks', `${POST}transfer-encoding: chunked\r\n\r\n`, '1\r\n \r\n'],
    ['a second request on its connection', 'GET /v1/text HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/text HTT', ''],
  ];
  for (const [title, at, drop] of cases)
    test(title, async (t) => {
      const server = await aServer(t, { headersTimeoutMs: TIMEOUT_MS, requestTimeoutMs: TIMEOUT_MS });
      const startedMs = performance.now();
      const answer = await drip(server.port, at, drop);
      const tookMs = performance.now() - startedMs;
      assert.match(answer, /HTTP\/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n$/);
      assert.ok(tookMs >= TIMEOUT_MS / 2 && tookMs < 25 * TIMEOUT_MS, `took ${tookMs} ms`);
      assert.equal((await fetch(`${server.url}/v1/text`)).status, 200);
      assert.equal(server.inFlight(), 0, 'nothing is held for it');
    });
});

/** Sends a beginning, then a drop each 20 ms; answers all that came until the connection was closed. */
function drip(port: number, beginning: string, drop: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write(beginning));
    const dripping = setInterval(() => socket.write(drop), 20);
    let text = '';
    socket.on('data', (bytes) => (text += bytes.toString()));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(dripping);
      resolve(text);
    });
  });
}

test('closing waits a second for requests that are half sent, not the whole grace, and still answers those that came', async (t) => {
  let answer = (): void => {};
  const slow: HttpRoute = {
    method: 'POST',
    path: '/v1/slow',
    handler: () => new Promise((resolve) => (answer = () => resolve({ status: 200, body: 'late' }))),
  };
  const server = await aServer(t, { routes: [slow] });
  const halves = ['POST /v1/slow HTT', 'POST /v1/slow HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{"a"'].map(
    (half) => {
      const socket = connect(server.port, '127.0.0.1', () => socket.write(half));
      socket.on('error', () => {});
      return new Promise<void>((resolve) => socket.on('close', () => resolve()));
    },
  );
  const whole = fetch(`${server.url}/v1/slow`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  });
  while (server.inFlight() < 2) await new Promise(setImmediate);
  const startedMs = performance.now();
  const closed = server.close(60_000);
  await Promise.all(halves);
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs >= HALF_SENT_MS - 50 && tookMs < 10 * HALF_SENT_MS, `took ${tookMs} ms`);
  answer();
  assert.equal((await whole).status, 200);
  await closed;
});

test('a route may take larger bodies than the server, some of them at once; the next is told to come back', async (t) => {
  const held: (() => void)[] = [];
  const hold = async () => {
    await new Promise<void>((resolve) => void held.push(resolve));
    return { status: 200, body: {} };
  };
  const server = await startHttpServer({
    bind: '127.0.0.1',
    port: 0,
    log: silentLog,
    bodyBytesMax: 100,
    routes: [
      { method: 'POST', path: '/large', bodyBytesMax: 1000, handler: hold },
      { method: 'POST', path: '/small', handler: () => ({ status: 200, body: {} }) },
    ],
  });
  t.after(() => server.kill());
  const post = async (path: string, bytes: number) => {
    const url = `http://127.0.0.1:${server.port}${path}`;
    const response = await fetch(url, { method: 'POST', body: ' '.repeat(bytes) });
    return {
      status: response.status,
      body: (await response.json()) as { error?: { code: string; retryAfterMs?: number } },
    };
  };
  const answers = Array.from({ length: LIMITS.largeRequestsMax }, () => post('/large', 1000));
  while (held.length < LIMITS.largeRequestsMax) await new Promise(setImmediate);
  const shed = await post('/large', 101);
  assert.deepEqual([shed.status, shed.body.error?.code], [503, 'overloaded']);
  const small = post('/large', 100);
  while (held.length < LIMITS.largeRequestsMax + 1) await new Promise(setImmediate);
  held.splice(0).forEach((end) => end());
  for (const answer of [...answers, small]) assert.equal((await answer).status, 200);
  assert.equal((await post('/large', 1001)).status, 413);
  assert.equal((await post('/small', 101)).status, 413);
  const again = post('/large', 1000);
  while (held.length < 1) await new Promise(setImmediate);
  held.splice(0).forEach((end) => end());
  assert.equal((await again).status, 200);
});
