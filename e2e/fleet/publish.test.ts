import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startPublisher } from './publish.ts';
import type { PublishOptions } from './publish.ts';
import { outcomeOf } from './push-api.ts';
import { readPublished } from './report.ts';

interface Seen {
  readonly key: string | undefined;
  readonly authorization: string | undefined;
  readonly body: { target: unknown; class: string };
}
let server: Server;
let seen: Seen[] = [];
let answer: (request: Seen, number: number) => { status: number; body: unknown } | 'cut';
let folder = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'publish-'));
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { authorization } = request.headers;
      const key = request.headers['idempotency-key'] as string | undefined;
      const now = { key, authorization, body: JSON.parse(Buffer.concat(chunks).toString()) as Seen['body'] };
      const given = answer(now, seen.push(now));
      if (given === 'cut') return request.socket.destroy();
      response.writeHead(given.status, { 'content-type': 'application/json' }).end(JSON.stringify(given.body));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve());
  });
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

function optionsOf(more: Partial<PublishOptions>): PublishOptions {
  seen = [];
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const log = join(folder, 'published.jsonl');
  return { url, apiKey: 'secret', targets: [{ topic: 'news' }], rate: 10_000, count: 1, log, keyPrefix: 'k', ...more };
}

test('publishes to its targets in turn, each device by itself, and logs every accepted id with its recipient', async () => {
  answer = (_, number) => ({ status: 202, body: { id: `id-${number}` } });
  const options = optionsOf({
    count: 6,
    inFlightMax: 1,
    targets: [{ devices: { first: 0, count: 2 } }, { topic: 'news' }, { everyone: true }],
  });
  const publisher = startPublisher(options);
  await publisher.done;
  assert.deepEqual(
    seen.map(({ body }) => body.target),
    [
      { device: 'dev-000000' },
      { topic: 'news' },
      { everyone: true },
      { device: 'dev-000001' },
      { topic: 'news' },
      { everyone: true },
    ],
  );
  assert.equal(seen[0]?.authorization, 'Bearer secret');
  const published = readPublished(options.log).accepted;
  assert.deepEqual(
    published.map(({ id }) => id),
    ['id-1', 'id-2', 'id-3', 'id-4', 'id-5', 'id-6'],
  );
  assert.deepEqual(published[3]?.to, { device: 'dev-000001' });
});

test('sends what has no known outcome again with the same key, until it has one', async () => {
  answer = (_, number) =>
    number === 1
      ? 'cut'
      : number === 2
        ? { status: 503, body: { error: { code: 'store-unavailable', message: 'away', retryAfterMs: 1 } } }
        : { status: 202, body: { id: 'id-1' } };
  const publisher = startPublisher(optionsOf({}));
  const counts = await publisher.done.then(() => publisher.counts());
  assert.deepEqual([counts.accepted, counts.retries], [1, 2]);
  assert.deepEqual(new Set(seen.map(({ key }) => key)), new Set(['k-0']));
});

test('gives up at giveUpMs, and never sends a live message twice', async () => {
  answer = () => ({ status: 503, body: {} });
  for (const more of [{ giveUpMs: 0 }, { class: 'live' }] as const) {
    const publisher = startPublisher(optionsOf(more));
    await publisher.done;
    assert.equal(publisher.counts().unknown, 1);
    assert.equal(seen.length, 1);
  }
  assert.equal(seen[0]?.key, undefined);
});

test('what is refused is logged and not repeated', async () => {
  answer = () => ({ status: 400, body: { error: { code: 'invalid-request', message: 'target' } } });
  const options = optionsOf({});
  const publisher = startPublisher(options);
  await publisher.done;
  assert.deepEqual([publisher.counts().refused, seen.length], [1, 1]);
  assert.deepEqual(readPublished(options.log), { accepted: [], unknownKeys: [] });
});

test('answers: 2xx with an id, 429 and 5xx, the rest', () => {
  assert.deepEqual(outcomeOf({ status: 202, text: '{"id":"a"}' }), { kind: 'accepted', id: 'a' });
  assert.equal(outcomeOf({ status: 200, text: '{}' }).kind, 'refused');
  assert.deepEqual(
    outcomeOf({ status: 429, text: '{"error":{"code":"rate-limited","message":"m","retryAfterMs":7}}' }),
    {
      kind: 'again',
      reason: '429 rate-limited m',
      retryAfterMs: 7,
    },
  );
  assert.equal(outcomeOf({ status: 502, text: '<html>' }).kind, 'again');
  assert.equal(outcomeOf({ status: 403, text: '{}' }).kind, 'refused');
});
