import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { CLOSE } from '../protocol/codes.ts';
import type { Epoch, MessageId, TopicName } from '../protocol/ids.ts';
import { Bench, E1, NORMAL, aMessage, aState, acked, until } from './client-bench.ts';
import type { ReceivedMessage } from './client.ts';
import { ClientClosedError, InvalidOutgoingError, OutgoingFullError, OutgoingRefusedError } from './outgoing.ts';
import type { GatewaySide } from './scripted-server.ts';
import { openMemoryStorage } from './storage.ts';
import { SubscribeRefusedError } from './subscriptions.ts';

let bench: Bench | null = null;
afterEach(async () => {
  await bench?.stop();
  bench = null;
});

describe('connecting', () => {
  test('registers with the credential, says hello by token with its agent, and is live', async () => {
    bench = await Bench.start();
    const client = await bench.open({ agent: 'test/1' });
    await until(() => client.state().kind === 'live');
    assert.deepEqual(bench.registry.requests[0], {
      path: '/v1/register',
      authorization: undefined,
      body: { app: 'shop', account: 'ada', device: 'phone-1', credential: { token: 'signed-by-the-app' } },
    });
    assert.deepEqual(bench.side(0).frames[0], { type: 'hello', version: 1, token: 'token-1', agent: 'test/1' });
    assert.deepEqual(
      bench.states.map((state) => state.kind),
      ['registering', 'connecting', 'live'],
    );
  });

  test('works with the global WebSocket and fetch, as in a browser', async () => {
    bench = await Bench.start(1);
    const client = await bench.open({ WebSocket: globalThis.WebSocket, fetch: (url, init) => fetch(url, init) });
    await until(() => client.state().kind === 'live');
    bench.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1));
    await until(() => bench!.handed.length === 1);
  });

  test('a device that the registry will not have is closed, and says why', async () => {
    bench = await Bench.start();
    bench.registry.answer = () => ({ status: 403, body: { error: { code: 'forbidden', message: 'account full' } } });
    const client = await bench.open();
    await until(() => client.state().kind === 'closed');
    assert.deepEqual(client.state().closed, { kind: 'refused', reason: 'forbidden: account full' });
    await assert.rejects(client.subscribe('news'), ClientClosedError);
  });

  test('an app that is not there yet is waited for', async () => {
    bench = await Bench.start();
    const good = bench.registry.answer;
    let asked = 0;
    bench.registry.answer = (request) =>
      ++asked < 3 ? { status: 404, body: { error: { code: 'app-unknown', message: 'no such app' } } } : good(request);
    const client = await bench.open({ seed: 1 });
    await until(() => client.state().kind === 'live');
    assert.equal(client.counters().registryCalls.register, 3);
  });

  test('what is not a frame closes the connection and is reported; another one stands after it', async () => {
    bench = await Bench.start();
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    bench.side(0).sendText('{"type":"message"}');
    await until(() => client.counters().welcomes === 2);
    assert.equal((bench.errors[0] as { code: string }).code, 'invalid-frame');
  });

  test('a frame of a kind it does not know is ignored', async () => {
    bench = await Bench.start();
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    bench.side(0).sendText('{"type":"weather","sun":true}');
    bench.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1));
    await until(() => bench!.handed.length === 1);
    assert.deepEqual(bench.errors, []);
  });
});

describe('messages', () => {
  test('are acked only after the handler resolved and the position was saved', async () => {
    bench = await Bench.start();
    const order: string[] = [];
    const storage = openMemoryStorage();
    const client = await bench.open({
      storage: {
        ...storage,
        save: (changes) => {
          if (changes.session === undefined) order.push('saved');
          return storage.save(changes);
        },
      },
      onMessage: async ({ body }) => {
        await new Promise((resolve) => setImmediate(resolve));
        order.push(`handled ${String(body)}`);
      },
    });
    await until(() => client.state().kind === 'live');
    bench.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'ack') order.push(`acked ${frame.positions[0]?.offset}`);
      else bench!.serve(side, frame);
    };
    bench.side(0).send({ type: 'stream', state: aState(0) });
    await until(() => order.length === 1); // the beginning of the stream is saved too
    bench.side(0).send(aMessage(1));
    await until(() => order.includes('acked 1'));
    assert.deepEqual(order, ['saved', 'handled 1', 'saved', 'acked 1']);
  });

  test('that a storage did not save are not acked until it did', async () => {
    bench = await Bench.start();
    const storage = openMemoryStorage();
    let full = false;
    const client = await bench.open({
      storage: {
        ...storage,
        save: (changes) => (full ? Promise.reject(new Error('disk full')) : storage.save(changes)),
      },
    });
    await until(() => client.state().kind === 'live');
    full = true;
    bench.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1));
    await until(() => bench!.errors.length > 0 && bench!.handed.length === 1);
    assert.equal(client.counters().acks, 0);
    full = false;
    bench.side(0).send(aMessage(2));
    await acked(bench.gateways[0]!, 2);
    assert.deepEqual(bench.handed, [1, 2]);
  });

  test('arrive as JSON, text or bytes', async () => {
    bench = await Bench.start(1);
    const got: ReceivedMessage[] = [];
    const client = await bench.open({ onMessage: (message) => got.push(message) });
    await until(() => client.state().kind === 'live');
    const base = { type: 'message', stream: 'news' as TopicName, sentAtMs: 5 } as const;
    bench
      .side(0)
      .send(
        { ...base, id: 'a' as MessageId, body: { n: 1 }, attributes: { level: 3 } },
        { ...base, id: 'b' as MessageId, body: 'text', encoding: 'text' },
        { ...base, id: 'c' as MessageId, body: 'AAH/', encoding: 'base64' },
      );
    await until(() => got.length === 3);
    assert.deepEqual(
      got.map(({ body }) => body),
      [{ n: 1 }, 'text', Uint8Array.of(0, 1, 255)],
    );
    assert.deepEqual(got[0], {
      stream: 'news',
      offset: null,
      epoch: null,
      id: 'a',
      sentAtMs: 5,
      attempt: 1,
      attributes: { level: 3 },
      body: { n: 1 },
    });
  });

  test('a gap is closed by connecting anew with the positions held', async () => {
    bench = await Bench.start(1);
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    bench.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1));
    await acked(bench.gateways[0]!, 1);
    bench.side(0).send(aMessage(3));
    await until(() => client.counters().welcomes === 2);
    const hello = bench.side(0).frames[0];
    assert.deepEqual(hello?.type === 'hello' ? hello.positions : null, [{ stream: NORMAL, epoch: E1, offset: 1 }]);
    bench.side(0).send(aMessage(2), aMessage(3));
    await until(() => bench!.handed.length === 3);
    assert.deepEqual(bench.handed, [1, 2, 3]);
    assert.equal(client.counters().gaps, 1);
  });

  test('a stream that could not be continued is reported to the application', async () => {
    bench = await Bench.start(1);
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    bench.side(0).send({ type: 'stream', state: aState(5) }, aMessage(6));
    await acked(bench.gateways[0]!, 6);
    bench.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type !== 'hello') return;
      side.send(bench!.welcome('gw-0', [{ ...aState(20), recovered: false, reason: 'trimmed' }]));
    };
    client.cut();
    await until(() => bench!.gaps.length === 1);
    assert.deepEqual(bench.gaps, [
      { stream: NORMAL, reason: 'trimmed', from: { epoch: E1, offset: 6 }, to: { epoch: E1, offset: 20 } },
    ]);
  });

  test('that the handler threw at stay unacked and are handed on when they come again', async () => {
    bench = await Bench.start(1);
    let failures = 1;
    const client = await bench.open({
      onMessage: ({ body }) => {
        if (body === 2 && failures-- > 0) throw new Error('not now');
        bench!.handed.push(body);
      },
    });
    await until(() => client.state().kind === 'live');
    bench.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1), aMessage(2), aMessage(3));
    await acked(bench.gateways[0]!, 1);
    bench.side(0).send(aMessage(2), aMessage(3));
    await until(() => bench!.handed.length === 3);
    assert.deepEqual(bench.handed, [1, 2, 3]);
    assert.equal(client.counters().welcomes, 1);
  });

  test('a restart with its storage goes on where it was, and knows what it has seen', async () => {
    bench = await Bench.start(1);
    const storage = openMemoryStorage();
    const first = await bench.open({ storage });
    await until(() => first.state().kind === 'live');
    bench.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1), aMessage(2));
    await until(() => bench!.handed.length === 2);
    await first.close();
    await until(() => bench!.side(0).frames.at(-1)?.type === 'bye');
    const second = await bench.open({ storage });
    await until(() => second.state().kind === 'live');
    const hello = bench.side(0).frames[0];
    assert.deepEqual(hello?.type === 'hello' ? hello.positions : null, [{ stream: NORMAL, epoch: E1, offset: 2 }]);
    bench
      .side(0)
      .send(
        { type: 'stream', state: { ...aState(0), epoch: 'e2' as Epoch } },
        { ...aMessage(2), offset: 1 },
        { ...aMessage(3), offset: 2 },
      );
    await until(() => bench!.handed.length === 3);
    assert.deepEqual(bench.handed, [1, 2, 3]);
  });
});

describe('moving', () => {
  test('a cut resumes by ticket at the other gateway without the registry', async () => {
    bench = await Bench.start();
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    bench.side(0).cut();
    await until(() => client.counters().welcomes === 2);
    const hello = bench.side(1).frames[0];
    assert.equal(hello?.type === 'hello' ? hello.ticket : null, 'ticket-of-gw-0');
    assert.equal(bench.registry.requests.length, 1);
    assert.equal(client.counters().resumes, 1);
  });

  test('after goaway the old connection serves until the new one stands, and nothing is lost or doubled', async () => {
    bench = await Bench.start();
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    const old = bench.side(0);
    old.send({ type: 'stream', state: aState(0) }, aMessage(1));
    await acked(bench.gateways[0]!, 1);
    let hello: GatewaySide | null = null;
    bench.gateways[1]!.onFrame = (side, frame) => {
      if (frame.type === 'hello') hello = side;
      else bench!.serve(side, frame);
    };
    const goaway = { type: 'goaway', reason: 'drain', ticket: 't', afterMs: 0, deadlineMs: 5000 } as const;
    old.send({ ...goaway, targets: [bench.gateways[1]!.url] });
    await until(() => hello !== null);
    old.send(aMessage(2));
    await until(() => bench!.handed.length === 2);
    assert.equal(client.state().kind, 'moving');
    assert.equal(old.open, true);
    hello!.send(bench.welcome('gw-1', [aState(1)]), aMessage(2), aMessage(3));
    await until(() => bench!.handed.length === 3 && !old.open);
    assert.deepEqual(bench.handed, [1, 2, 3]);
    assert.equal(client.counters().duplicates, 1);
    assert.equal(client.state().kind, 'live');
    assert.equal(bench.registry.requests.length, 1);
  });

  test('a stale ticket is followed by the token', async () => {
    bench = await Bench.start();
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    const { onFrame } = bench.gateways[1]!;
    bench.gateways[1]!.onFrame = (side, frame) => {
      if (frame.type === 'hello' && frame.ticket !== undefined)
        side.close(CLOSE.ticketStale.code, CLOSE.ticketStale.reason);
      else onFrame(side, frame);
    };
    client.cut();
    await until(() => client.counters().welcomes === 2);
    assert.equal(bench.registry.requests.length, 1);
  });

  test('a newer session of the device ends this one for good', async () => {
    bench = await Bench.start();
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    bench.side(0).close(CLOSE.replaced.code, CLOSE.replaced.reason);
    await until(() => client.state().kind === 'closed');
    assert.deepEqual(client.state().closed, { kind: 'dismissed', code: 4500, reason: 'replaced' });
    assert.equal(client.counters().attempts, 1);
  });
});

describe('subscriptions', () => {
  test('are asked for on each session that does not hold them, with the position', async () => {
    bench = await Bench.start(1);
    const client = await bench.open();
    await client.subscribe('news');
    const news = 'news' as TopicName;
    bench.side(0).send(aMessage(1, news));
    await acked(bench.gateways[0]!, 1);
    bench.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'hello') side.send(bench!.welcome('gw-0', []));
      else bench!.serve(side, frame);
    };
    client.cut();
    await until(() => client.counters().welcomes === 2 && bench!.side(0).frames.length > 1);
    const asked = bench.side(0).frames[1];
    assert.deepEqual(asked?.type === 'subscribe' ? asked.topics : null, [{ topic: 'news', epoch: 'e1', offset: 1 }]);
  });

  test('refused for good rejects with the code; refused for now is asked again', async () => {
    bench = await Bench.start(1);
    let refusals = 1;
    bench.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'subscribe' && frame.topics[0]?.topic === 'secret')
        side.send({ type: 'subscribed', id: frame.id, streams: [], refused: [{ topic: 'secret', code: 'forbidden' }] });
      else if (frame.type === 'subscribe' && refusals-- > 0)
        side.send({ type: 'error', id: frame.id, code: 'overloaded', message: 'later', retryAfterMs: 1 });
      else bench!.serve(side, frame);
    };
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    await assert.rejects(client.subscribe('secret'), (error) => {
      assert.ok(error instanceof SubscribeRefusedError);
      assert.equal(error.code, 'forbidden');
      return true;
    });
    await client.subscribe('news');
    await client.unsubscribe('news');
    assert.equal(bench.side(0).frames.at(-1)?.type, 'unsubscribe');
  });

  test('300 topics go in frames of at most 256', async () => {
    bench = await Bench.start(1);
    const client = await bench.open();
    const wanted = Array.from({ length: 300 }, (_, i) => client.subscribe(`t${i}`));
    await Promise.all(wanted);
    const sizes = bench.side(0).frames.flatMap((frame) => (frame.type === 'subscribe' ? [frame.topics.length] : []));
    assert.deepEqual(sizes, [256, 44]);
  });
});

describe('upstream', () => {
  test('resolves on taken; what was under way when the gateway went is sent to the next with the same key', async () => {
    bench = await Bench.start();
    bench.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'upstream') side.cut();
      else bench!.serve(side, frame);
    };
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    await client.send('order', { n: 1 });
    const sent = bench.gateways.map(({ connections }) =>
      connections.flatMap(({ frames }) => frames.flatMap((f) => (f.type === 'upstream' ? [f.key] : []))),
    );
    assert.equal(sent[0]?.length, 1);
    assert.deepEqual(sent[0], sent[1]);
  });

  test('what a restart finds stored is sent again', async () => {
    bench = await Bench.start(1);
    const storage = openMemoryStorage();
    await storage.save({
      outgoingAdded: [{ key: 'k1', message: { type: 'upstream', kind: 'order', body: { n: 1 } } }],
    });
    await bench.open({ storage });
    await until(() => bench!.gateways[0]!.connections.some(({ frames }) => frames.some((f) => f.type === 'upstream')));
    const loaded = async (): Promise<number> => (await storage.load()).outgoing.length;
    while ((await loaded()) > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('is bounded in number, kind and bytes, at and past each limit', async () => {
    bench = await Bench.start(1);
    bench.gateways[0]!.onFrame = () => {};
    const client = await bench.open({ outgoingMax: 2 });
    const kept = [client.send('k'.repeat(64), 'x'.repeat(32 * 1024 - 2)), client.send('k', null)];
    await assert.rejects(client.send('k', null), OutgoingFullError);
    const other = await bench.open({ outgoingMax: 2 });
    await assert.rejects(other.send('k'.repeat(65), null), InvalidOutgoingError);
    await assert.rejects(other.send('', null), InvalidOutgoingError);
    await assert.rejects(other.send('k', 'x'.repeat(32 * 1024 - 1)), InvalidOutgoingError);
    const outcomes = Promise.allSettled(kept);
    await client.close();
    for (const outcome of await outcomes)
      assert.ok(outcome.status === 'rejected' && outcome.reason instanceof ClientClosedError);
  });

  test('refused for good rejects; refused for now is sent again in order', async () => {
    bench = await Bench.start(1);
    let refusals = 1;
    const taken: string[] = [];
    bench.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type !== 'upstream') return bench!.serve(side, frame);
      if (frame.kind === 'bad') side.send({ type: 'error', id: frame.id, code: 'forbidden', message: 'no such kind' });
      else if (frame.kind === 'first' && refusals-- > 0)
        side.send({ type: 'error', id: frame.id, code: 'upstream-unavailable', message: 'later', retryAfterMs: 1 });
      else {
        taken.push(frame.kind);
        side.send({ type: 'taken', id: frame.id });
      }
    };
    const client = await bench.open();
    await until(() => client.state().kind === 'live');
    await assert.rejects(client.send('bad', 1), OutgoingRefusedError);
    await client.send('first', 1);
    assert.deepEqual(taken, ['first']);
  });
});
