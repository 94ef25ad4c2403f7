// What goes wrong around a real Redis: a cut connection, a hanging server, a wrong password, none there yet, memory full, scripts
// flushed, a failover by Sentinel. Nothing is ever sent twice, and every wait is bounded.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { openAt, untilReachable, wait } from './contract-setup.ts';
import { openRedisStore } from './redis-store.ts';
import { redisMissing, startSentinel, TestRedis, VOLATILE } from './test-server.ts';
import {
  anAck,
  anAppend,
  anOpenSession,
  appendAll,
  appended,
  counted,
  lane,
  register,
  texts,
  topic,
} from '../contract-subject.ts';
import { StoreUnavailableError } from '../port.ts';
import { systemClock } from '../../runtime/clock.ts';
import { freePort } from '../../runtime/free-port.ts';
import { silentLog } from '../../runtime/log.ts';

/** A TCP proxy that can cut connections before the next reply gets through, and remembers what was sent. */
class CuttingProxy {
  readonly #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  sent = '';
  cutNextReply = false;
  /** Replies wait for `letGo`. */
  hold = false;
  #held: (() => void)[] = [];

  constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#join(client));
  }
  readonly #clients = new Set<Socket>();
  #join(client: Socket): void {
    this.#clients.add(client);
    client.on('close', () => this.#clients.delete(client));
    const server = connect(this.#target, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        server.destroy();
      });
    }
    client.on('data', (chunk) => {
      this.sent += chunk.toString('latin1');
      server.write(chunk);
    });
    server.on('data', (chunk) => {
      if (this.hold) return void this.#held.push(() => client.write(chunk));
      if (!this.cutNextReply) return void client.write(chunk);
      this.cutNextReply = false;
      client.destroy();
    });
  }
  async listen(): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }
  letGo(): void {
    this.hold = false;
    for (const write of this.#held.splice(0)) write();
  }
  /** Says this to everyone, as if the server had. */
  say(text: string): void {
    for (const client of this.#clients) client.write(text);
  }
  get connections(): number {
    return this.#clients.size;
  }
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function open(url: string, more: { password?: string; timeoutMs?: number; itemsMax?: number } = {}) {
  return openRedisStore({
    url,
    password: more.password ?? '',
    ...(more.itemsMax === undefined ? {} : { itemsMax: more.itemsMax }),
    timeoutMs: more.timeoutMs ?? 2000,
    clock: systemClock,
    log: silentLog,
  });
}

describe('redis faults', { skip: redisMissing() ?? false }, () => {
  let redis: TestRedis;
  before(async () => {
    redis = await TestRedis.start(VOLATILE);
  });
  after(() => redis.remove());

  test('a connection cut before the reply rejects, re-sends nothing, and the same id again finds the first one', async () => {
    const proxy = new CuttingProxy(redis.port);
    const store = await openAt(`redis://127.0.0.1:${await proxy.listen()}`);
    const append = anAppend(topic('cut'), 'once');
    proxy.cutNextReply = true;
    await assert.rejects(store.append([append]), StoreUnavailableError);
    await untilReachable(store);
    await wait(50);
    assert.equal(proxy.sent.split(append.messageId).length - 1, 1, 'it went over the wire once');
    const again = appended((await store.append([append]))[0]);
    assert.deepEqual([again.offset, again.duplicate], [1, true]);
    assert.deepEqual(texts((await store.read([{ stream: topic('cut'), after: null, entriesMax: 9 }]))[0]!.entries), [
      'once',
    ]);
    await store.close();
    proxy.close();
  });

  test('a server that hangs rejects within the timeout, and serves again when it goes on', async () => {
    const store = await open(redis.url, { timeoutMs: 300 });
    redis.signal('SIGSTOP');
    const startedAt = performance.now();
    await assert.rejects(
      store.heads([topic('t')]),
      (error) => error instanceof StoreUnavailableError && /within 300 ms/.test(error.message),
    );
    assert.ok(performance.now() - startedAt < 2000);
    redis.signal('SIGCONT');
    await untilReachable(store);
    await store.close();
  });

  test('items under way are taken up to the limit, and one more is rejected at once', async () => {
    const store = await open(redis.url, { itemsMax: 10 });
    const ten = store.heads(Array.from({ length: 10 }, (_, i) => topic(`t${i}`)));
    await assert.rejects(store.heads([topic('t')]), /expected at most 10 items under way/);
    assert.equal((await ten).length, 10);
    assert.equal((await store.heads([topic('t')])).length, 1);
    await store.close();
  });

  test('a Redis that is not there yet: the store opens, rejects at once, and serves when it comes', async () => {
    const port = await freePort();
    const store = await open(`redis://127.0.0.1:${port}`, { timeoutMs: 200 });
    assert.equal((await store.health()).reachable, false);
    await assert.rejects(store.append([anAppend(topic('t'), 'x')]), StoreUnavailableError);
    const late = await TestRedis.start(VOLATILE, port);
    await untilReachable(store);
    assert.equal((await store.health()).reachable, true);
    await store.close();
    await late.remove();
  });

  test('a wrong password and a missing one are refused by name at open', async () => {
    const locked = await TestRedis.start([...VOLATILE, '--requirepass', 'right']);
    await assert.rejects(open(locked.url, { password: 'wrong' }), { code: 'store-refused' });
    await assert.rejects(open(locked.url), { code: 'store-refused' });
    const store = await open(locked.url, { password: 'right' });
    assert.equal((await store.health()).reachable, true);
    await store.close();
    await locked.remove();
  });

  test('data of another version are refused by name at open, and left as they are', async () => {
    const old = await TestRedis.start(VOLATILE);
    await old.command('HSET', '{0}S', 'id', 'of-the-one-before');
    await assert.rejects(open(old.url), { code: 'store-refused', message: /expected an empty Redis/ });
    assert.equal(String(await old.command('HGET', '{0}S', 'id')), 'of-the-one-before');
    await old.command('FLUSHALL');
    const store = await open(old.url);
    assert.equal((await store.health()).reachable, true);
    await store.close();
    await old.remove();
  });

  test('health names what must be put right', async () => {
    const weak = await TestRedis.start([...VOLATILE, '--maxmemory-policy', 'allkeys-lru']);
    const store = await openAt(weak.url);
    const { reachable, warnings } = await store.health();
    assert.equal(reachable, true);
    assert.match(warnings.join('\n'), /maxmemory-policy is allkeys-lru; expected noeviction/);
    assert.match(warnings.join('\n'), /appendonly is off; expected yes/);
    await store.close();
    await weak.remove();
  });

  test('scripts that were flushed are sent again', async () => {
    const store = await openAt(redis.url);
    await redis.command('SCRIPT', 'FLUSH');
    assert.equal(appended((await appendAll(store, topic('flushed'), ['a']))[0]).offset, 1);
    await store.close();
  });

  test('a full memory refuses appends whole, and acks still make room', async () => {
    const store = await openAt(redis.url);
    await register(store, 'full');
    const session = await store.openSession(anOpenSession('full'));
    const { epoch } = appended((await appendAll(store, lane('full'), ['a']))[0]);
    await redis.command('CONFIG', 'SET', 'maxmemory', '1mb');
    await assert.rejects(
      appendAll(store, lane('full'), ['b']),
      (error) => error instanceof StoreUnavailableError && error.message.includes('OOM'),
    );
    const generation = session.kind === 'opened' ? session.generation : 0;
    assert.deepEqual(counted(await store.settle([anAck('full', { epoch, offset: 1, generation })])), [true]);
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    assert.deepEqual((await store.heads([lane('full')]))[0], { epoch, head: 1 });
    await store.close();
  });

  test('Sentinel names the master; after a failover appends go to the new one, in a new epoch', async () => {
    const master = await TestRedis.start(VOLATILE);
    const replica = await TestRedis.start([...VOLATILE, '--replicaof', '127.0.0.1', `${master.port}`]);
    const sentinel = await startSentinel(master);
    const synced = async (): Promise<boolean> =>
      String(await replica.command('INFO', 'replication')).includes('master_link_status:up');
    for (let i = 0; !(await synced()) && i < 300; i++) await wait(20);
    const store = await open(sentinel.url);
    await untilReachable(store);
    const first = appended((await appendAll(store, topic('t'), ['a']))[0]);
    await wait(1200); // Sentinel asks the master for its replicas once a second at first
    await master.kill();
    for (let i = 0; i < 400; i++) {
      const outcome = await appendAll(store, topic('t'), ['b']).catch(() => null);
      if (outcome !== null) break;
      await wait(25);
    }
    const second = appended((await appendAll(store, topic('t'), ['c']))[0]);
    assert.notEqual(second.epoch, first.epoch);
    assert.equal(second.offset, 3);
    const [read] = await store.read([{ stream: topic('t'), after: { epoch: first.epoch, offset: 1 }, entriesMax: 9 }]);
    assert.deepEqual([read!.notRecovered, texts(read!.entries)], [null, ['b', 'c']]);
    await store.close();
    await Promise.all([sentinel.remove(), replica.remove(), master.remove()]);
  });

  test('a Sentinel that tells of a failover while it is asked for the master: the store finds the master all the same', async () => {
    const sentinel = await startSentinel(redis);
    const proxy = new CuttingProxy(sentinel.port);
    const store = await open(`redis+sentinel://127.0.0.1:${await proxy.listen()}/main`);
    const until = async (isSo: () => boolean): Promise<void> => {
      for (let i = 0; !isSo() && i < 300; i++) await wait(10);
      assert.ok(isSo());
    };
    await untilReachable(store);
    await until(() => proxy.sent.includes('subscribe') && proxy.connections === 1);
    proxy.hold = true;
    proxy.sent = '';
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await until(() => proxy.sent.includes('hello'));
    const news = 'main 127.0.0.1 1 127.0.0.1 2';
    proxy.say(`>3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$${news.length}\r\n${news}\r\n`);
    await until(() => proxy.connections === 1);
    proxy.letGo();
    await untilReachable(store);
    await store.close();
    proxy.close();
    await sentinel.remove();
  });
});
