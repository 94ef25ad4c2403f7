import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { CLOSE } from '../protocol/codes.ts';
import type { AccountId, MessageId, TopicName } from '../protocol/ids.ts';
import { Bench, E1, NORMAL, aMessage, aState, acked, until } from './client-bench.ts';
import { NackError, nack } from './client.ts';
import type { Client, OutgoingState } from './client.ts';
import { ClientClosedError, InvalidOutgoingError, OutgoingRefusedError } from './outgoing.ts';
import { QuestionRefusedError } from './questions.ts';
import type { GatewaySide } from './scripted-server.ts';
import { openMemoryStorage } from './storage.ts';

let bench: Bench | null = null;
afterEach(async () => {
  await bench?.stop();
  bench = null;
});

async function live(options: Parameters<Bench['open']>[0] = {}, gateways = 1): Promise<Client> {
  bench = await Bench.start(gateways);
  const client = await bench.open(options);
  await until(() => client.state().kind === 'live');
  return client;
}
const refused = (code: string) => (error: unknown) => error instanceof QuestionRefusedError && error.code === code;

describe('a message that the application fails at', () => {
  test('is nacked with place and reason, and dealt with when it comes again', async () => {
    let failures = 1;
    const client = await live({
      onMessage: ({ body }) => {
        if (body === 2 && failures-- > 0) throw new Error('the database is locked');
        bench!.handed.push(body);
      },
    });
    bench!.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1), aMessage(2), aMessage(3));
    await until(() => bench!.sent('nack').length === 1);
    const place = { stream: NORMAL, epoch: E1, offset: 2 };
    assert.deepEqual(bench!.sent('nack'), [{ type: 'nack', ...place, reason: 'the database is locked' }]);
    bench!.side(0).send(aMessage(2), aMessage(3));
    await until(() => bench!.handed.length === 3);
    assert.deepEqual(bench!.handed, [1, 2, 3]);
    assert.deepEqual([client.counters().nacks, client.counters().nacked], [1, 1]);
  });

  test('says when to try again, and that there shall be no other try', async () => {
    await live({
      onMessage: ({ stream }) => {
        if (stream === NORMAL) throw new NackError('busy', { retryAfterMs: 2000 });
        return nack('no such article', { final: 'dead' });
      },
    });
    const news = 'news' as TopicName;
    const states = [aState(0), aState(0, news)].map((state) => ({ type: 'stream', state }) as const);
    bench!.side(0).send(...states, aMessage(1), aMessage(1, news));
    await until(() => bench!.sent('nack').length === 2);
    assert.deepEqual(bench!.sent('nack'), [
      { type: 'nack', stream: NORMAL, epoch: E1, offset: 1, reason: 'busy', retryAfterMs: 2000 },
      { type: 'nack', stream: 'news', epoch: E1, offset: 1, reason: 'no such article', final: 'dead' },
    ]);
    assert.deepEqual(bench!.errors, []);
  });

  test('is not waited for when the gateway has ended it: the next one says that nothing is missing', async () => {
    await live({
      onMessage: ({ body }) => (body === 1 ? nack('never', { final: 'dead' }) : bench!.handed.push(body)),
    });
    bench!.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1), aMessage(2));
    await until(() => bench!.sent('nack').length === 1);
    bench!.side(0).send({ ...aMessage(2), prev: 0 });
    await acked(bench!.gateways[0]!, 2);
    assert.deepEqual(bench!.handed, [2]);
  });
});

test('acks one by one: a message that takes long does not hold back those behind it', async () => {
  const ends = new Map<unknown, () => void>();
  const storage = openMemoryStorage();
  const slow = { acks: 'each', storage, onMessage: ({ body }: { body: unknown }) => waitFor(ends, body) } as const;
  const client = await live(slow);
  bench!.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1), aMessage(2), aMessage(3));
  await until(() => ends.size === 3);
  ends.get(3)!();
  await until(() => bench!.sent('ack').some(({ ids }) => ids?.[0]?.id === 'm-@normal-3'));
  assert.ok(bench!.sent('ack').every(({ positions }) => positions.every(({ offset }) => offset === 0)));
  ends.get(1)!();
  await acked(bench!.gateways[0]!, 1);
  ends.get(2)!();
  await acked(bench!.gateways[0]!, 3);
  assert.equal(client.counters().handled, 3);
  assert.deepEqual((await storage.load()).positions, [{ stream: NORMAL, epoch: E1, offset: 3 }]);
});

function waitFor(ends: Map<unknown, () => void>, body: unknown): Promise<void> {
  return new Promise((resolve) => ends.set(body, resolve));
}

describe('hello', () => {
  test('says how the client wants what it missed, and which lanes', async () => {
    await live({ offline: 'pull', lanes: ['high', 'normal'] });
    const [hello] = bench!.sent('hello');
    assert.deepEqual([hello?.offline, hello?.lanes], ['pull', ['high', 'normal']]);
  });
});

describe('pull', () => {
  const answering = (answers: (side: GatewaySide, id: number) => void) => {
    bench!.gateways[0]!.onFrame = (side, frame) =>
      frame.type === 'pull' ? answers(side, frame.id) : bench!.serve(side, frame);
  };

  test('brings what was asked for, and says how much and whether more is left', async () => {
    const client = await live({ offline: 'pull' });
    answering((side, id) =>
      side.send({ type: 'stream', state: aState(0) }, aMessage(1), aMessage(2), {
        type: 'pulled',
        id,
        stream: NORMAL,
        sent: 2,
        left: true,
      }),
    );
    assert.deepEqual(await client.pull(NORMAL, 2), { sent: 2, left: true });
    await until(() => bench!.handed.length === 2);
    const [pull] = bench!.sent('pull');
    assert.deepEqual([pull?.stream, pull?.max], [NORMAL, 2]);
  });

  test('is asked again after the time that a refusal names, and rejects when it is refused for good', async () => {
    const client = await live({ offline: 'pull' });
    let refusals = 2;
    answering((side, id) => {
      if (refusals-- > 0) side.send({ type: 'error', id, code: 'overloaded', message: 'later', retryAfterMs: 1 });
      else side.send({ type: 'pulled', id, stream: NORMAL, sent: 0, left: false });
    });
    assert.deepEqual(await client.pull(NORMAL, 1), { sent: 0, left: false });
    answering((side, id) => side.send({ type: 'error', id, code: 'invalid-request', message: 'offline: push' }));
    await assert.rejects(client.pull(NORMAL, 1), refused('invalid-request'));
  });

  test('is asked again on the next connection when its own went', async () => {
    const client = await live({ offline: 'pull' });
    let cuts = 1;
    answering((side, id) => {
      if (cuts-- > 0) side.cut();
      else side.send({ type: 'pulled', id, stream: NORMAL, sent: 1, left: false });
    });
    assert.deepEqual(await client.pull(NORMAL, 1), { sent: 1, left: false });
  });

  test('gives up after eight refusals', async () => {
    const client = await live({ offline: 'pull' });
    let asked = 0;
    answering((side, id) => {
      asked++;
      side.send({ type: 'error', id, code: 'overloaded', message: 'later', retryAfterMs: 1 });
    });
    await assert.rejects(client.pull(NORMAL, 1), refused('overloaded'));
    assert.equal(asked, 8);
  });
});

test('a body that did not come with its message is fetched before the application sees it, also across a cut', async () => {
  const client = await live();
  let cuts = 1;
  bench!.gateways[0]!.onFrame = (side, frame) => {
    if (frame.type !== 'fetch') return bench!.serve(side, frame);
    if (cuts-- > 0) side.cut();
    else side.send({ type: 'fetched', id: frame.id, body: { pages: 12 } });
  };
  const { body: _without, ...rest } = aMessage(1);
  bench!.side(0).send({ type: 'stream', state: aState(0) }, { ...rest, idOnly: true }, aMessage(2));
  await until(() => bench!.handed.length === 2);
  assert.deepEqual(bench!.handed, [{ pages: 12 }, 2]);
  assert.equal(client.counters().welcomes, 2);
  const { type: _type, id: _id, ...place } = bench!.sent('fetch')[0]!;
  assert.deepEqual(place, { stream: NORMAL, epoch: E1, offset: 1 });
});

describe('a filter', () => {
  const filter = { levelMin: 3, fields: { region: ['eu'] } };

  test('goes with the subscription, and with it again to each session that does not hold the topic', async () => {
    const client = await live();
    await client.subscribe('news', { filter });
    bench!.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'hello') side.send(bench!.welcome('gw-0', []));
      else bench!.serve(side, frame);
    };
    client.cut();
    await until(() => client.counters().welcomes === 2 && bench!.sent('subscribe').length === 2);
    for (const frame of bench!.sent('subscribe')) assert.deepEqual(frame.topics[0]?.filter, filter);
  });

  test('that is another one is asked for although the topic is held; null wants everything', async () => {
    const client = await live();
    await client.subscribe('news');
    await client.subscribe('news', { filter });
    await client.subscribe('news', { filter });
    await client.subscribe('news', { filter: null });
    assert.deepEqual(
      bench!.sent('subscribe').map(({ topics }) => topics[0]!.filter),
      [undefined, filter, null],
    );
  });
});

describe('messages to other clients', () => {
  test('resolve with their id once stored, and go to the next gateway with the same key when theirs went', async () => {
    const client = await live({}, 2);
    bench!.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'send') side.cut();
      else bench!.serve(side, frame);
    };
    const id = await client.send({ account: 'bob' }, { text: 'lunch?' }, { ttlMs: 60_000 });
    const sent = bench!.sent('send');
    assert.equal(new Set(sent.map(({ key }) => key)).size, 1);
    assert.equal(id, `id-of-${sent[0]!.key}`);
    assert.equal(sent.length, 2);
    const { type: _type, id: _id, key: _key, ...content } = sent[1]!;
    assert.deepEqual(content, { to: { account: 'bob' }, body: { text: 'lunch?' }, ttlMs: 60_000 });
  });

  test('that a restart finds stored are sent again', async () => {
    const storage = openMemoryStorage();
    await storage.save({
      outgoingAdded: [{ key: 'k1', message: { type: 'send', to: { group: 'lunch' }, body: 1 } }],
    });
    await live({ storage });
    await until(() => bench!.sent('send').length === 1);
    const loaded = async (): Promise<number> => (await storage.load()).outgoing.length;
    while ((await loaded()) > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('refused for good reject with the code; names and ttl are checked before anything is kept', async () => {
    const client = await live();
    bench!.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'send') side.send({ type: 'error', id: frame.id, code: 'forbidden', message: 'not allowed' });
      else bench!.serve(side, frame);
    };
    await assert.rejects(
      client.send({ device: 'd' }, 1),
      (error) => error instanceof OutgoingRefusedError && error.code === 'forbidden',
    );
    await assert.rejects(client.send({ group: 'a b' }, 1), /^InvalidNameError|group: expected/);
    await assert.rejects(client.send({ device: 'd' }, 1, { ttlMs: 0 }), InvalidOutgoingError);
    assert.equal(bench!.sent('send').length, 1);
  });
});

test('a message that the gateway puts off stays pending, is sent again with its key, and says so until one is taken', async () => {
  const told: OutgoingState[] = [];
  const client = await live({ onOutgoing: (outgoing) => void told.push(outgoing) });
  let busAway = true;
  bench!.gateways[0]!.onFrame = (side, frame) => {
    const more = { code: 'upstream-unavailable', message: 'no bus is configured', retryAfterMs: 1 } as const;
    if (frame.type === 'upstream' && busAway) side.send({ type: 'error', id: frame.id, ...more });
    else bench!.serve(side, frame);
  };
  const sent = Promise.all([client.send('a', 1), client.send('b', 2)]);
  await until(() => bench!.sent('upstream').length > 5);
  const putOff = { code: 'upstream-unavailable', problem: 'no bus is configured' };
  assert.deepEqual(told, [{ waiting: 2, putOff }], 'once, however often it is put off');
  assert.deepEqual(client.state().outgoing, { waiting: 2, putOff });
  assert.equal(new Set(bench!.sent('upstream').map(({ key }) => key)).size, 2);
  busAway = false;
  await sent;
  assert.deepEqual([told.length, told[1]!.putOff], [2, null]);
  assert.deepEqual(client.state().outgoing, { waiting: 0, putOff: null });
});

test('a message to other clients that is put off is sent again in its time, with nothing else going on', async () => {
  const client = await live();
  let refusals = 2;
  bench!.gateways[0]!.onFrame = (side, frame) => {
    const more = { code: 'rate-limited', message: 'later', retryAfterMs: 20 } as const;
    if (frame.type === 'send' && refusals-- > 0) side.send({ type: 'error', id: frame.id, ...more });
    else bench!.serve(side, frame);
  };
  const sent = client.send({ device: 'd' }, 1);
  await until(() => bench!.sent('send').length === 3);
  await sent;
});

test('upstream messages name their order key', async () => {
  const client = await live();
  await client.send('order.changed', { n: 1 }, { order: 'order-1' });
  assert.equal(bench!.sent('upstream')[0]?.order, 'order-1');
  await assert.rejects(client.send('order.changed', 1, { order: '' }), InvalidOutgoingError);
});

describe('groups', () => {
  test('are created, joined, left and deleted, each by one question', async () => {
    const { groups } = await live();
    await groups.create('lunch', ['bob']);
    await groups.join('lunch');
    await groups.leave('lunch');
    await groups.delete('lunch');
    assert.deepEqual(
      bench!.sent('group').map(({ op, members }) => [op, members]),
      [
        ['create', ['bob']],
        ['join', undefined],
        ['leave', undefined],
        ['delete', undefined],
      ],
    );
  });

  test('list their members by page', async () => {
    const { groups } = await live();
    bench!.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type !== 'group') return bench!.serve(side, frame);
      const { id, group, after } = frame;
      const members = (after === undefined ? ['ada'] : ['bob']) as AccountId[];
      side.send({ type: 'grouped', id, group, members, count: 2, next: after === undefined ? members[0]! : null });
    };
    assert.deepEqual(await groups.members('lunch'), { members: ['ada'], count: 2, next: 'ada' });
    assert.deepEqual(await groups.members('lunch', 'ada'), { members: ['bob'], count: 2, next: null });
  });

  test('that are refused reject with the code; a question that waits ends with the client', async () => {
    const client = await live();
    bench!.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'group' && frame.op === 'join')
        side.send({ type: 'error', id: frame.id, code: 'group-unknown', message: 'no such group' });
    };
    await assert.rejects(client.groups.join('nobody'), refused('group-unknown'));
    const waiting = assert.rejects(client.groups.leave('lunch'), ClientClosedError);
    await client.close();
    await waiting;
  });
});

describe('a gateway that sheds load', () => {
  test('is told to the application with the level and until when, and when it is over', async () => {
    const told: unknown[] = [];
    const client = await live({
      onDegraded: ({ levelMin }) => told.push(levelMin),
      onRestored: () => told.push('restored'),
    });
    const before = Date.now();
    bench!
      .side(0)
      .send(
        { type: 'degraded', levelMin: 3, forMs: 60_000 },
        { type: 'degraded', levelMin: 3, forMs: 90_000 },
        { type: 'degraded', levelMin: 5, forMs: 60_000 },
      );
    await until(() => told.length === 2);
    const { degraded } = client.state();
    assert.equal(degraded?.levelMin, 5);
    assert.ok(degraded.untilMs >= before + 60_000);
    bench!.side(0).send({ type: 'restored' });
    await until(() => told.length === 3);
    assert.deepEqual([told, client.state().degraded], [[3, 5, 'restored'], null]);
  });

  test('that is left is over with it', async () => {
    let restored = 0;
    const client = await live({ onRestored: () => restored++ });
    bench!.side(0).send({ type: 'degraded', levelMin: 3, forMs: 60_000 });
    await until(() => client.state().degraded !== null);
    client.cut();
    await until(() => client.counters().welcomes === 2);
    assert.deepEqual([restored, client.state().degraded], [1, null]);
  });
});

describe('a start with what was kept', () => {
  test('resumes by ticket without the registry, also after a crash', async () => {
    const storage = openMemoryStorage();
    const client = await live({ storage });
    await until(() => bench!.registry.requests.length === 1);
    client.cut(); // nothing is said, nothing is closed
    const again = await bench!.open({ storage });
    await until(() => again.state().kind === 'live');
    assert.equal(bench!.registry.requests.length, 1);
    assert.equal(again.counters().resumes, 1);
  });

  test('does not take the session of another account', async () => {
    const storage = openMemoryStorage();
    await live({ storage });
    const other = await bench!.open({ storage, account: 'bob' });
    await until(() => other.state().kind === 'live');
    assert.equal(bench!.registry.requests.length, 2);
  });

  test('registers when the cluster will not have it', async () => {
    const storage = openMemoryStorage();
    await live({ storage });
    bench!.gateways[0]!.onFrame = (side, frame) => {
      if (frame.type === 'hello' && frame.ticket !== undefined) side.close(CLOSE.tokenInvalid.code, 'token-invalid');
      else bench!.serve(side, frame);
    };
    const again = await bench!.open({ storage });
    await until(() => again.state().kind === 'live');
    assert.equal(bench!.registry.requests.length, 2);
  });

  test('keeps nothing where it is told not to', async () => {
    const storage = openMemoryStorage();
    const client = await live({ storage, keepSession: false });
    await client.close();
    assert.equal((await storage.load()).session, null);
  });

  test('knows a message of a store that was away: it is not handed over again with its place', async () => {
    const storage = openMemoryStorage();
    const first = await live({ storage });
    const { offset: _none, ...later } = aMessage(1);
    bench!.side(0).send({ ...later, later: true });
    await until(() => first.counters().handled === 1);
    await first.close();
    const second = await bench!.open({ storage });
    await until(() => second.state().kind === 'live');
    bench!.side(0).send({ type: 'stream', state: aState(0) }, aMessage(1), aMessage(2));
    await acked(bench!.gateways[0]!, 2);
    assert.deepEqual(bench!.handed, [1, 2]);
    assert.equal((await storage.load()).seen.filter(({ id }) => id === ('m-@normal-1' as MessageId)).length, 1);
  });
});
