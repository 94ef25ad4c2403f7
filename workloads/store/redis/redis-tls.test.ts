// The store on Redis that speaks TLS only, as managed ones do: single, Cluster, Sentinel; who is refused and what is said, and that
// renewed certificates are followed. The whole contract runs on plain ones; here is enough of it to see each kind of call go through.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { tlsSentinelConnector } from './connectors.ts';
import { untilReachable, wait } from './contract-setup.ts';
import { openRedisStore } from './redis-store.ts';
import type { RedisOptions } from './redis-store.ts';
import { TestCertificates } from './test-certificates.ts';
import type { TestAuthority } from './test-certificates.ts';
import { DURABLE, redisMissing, startCluster, startSentinel, TestRedis, VOLATILE } from './test-server.ts';
import { PUBLIC_TRUST, Trust } from './trust.ts';
import type { TrustFiles } from './trust.ts';
import { groupsContract } from '../contract-groups.ts';
import { readsContract } from '../contract-reads.ts';
import { sessionsContract } from '../contract-sessions.ts';
import { anAppend, appendAll, appended, lane, register, texts, topic } from '../contract-subject.ts';
import type { StoreSubject } from '../contract-subject.ts';
import type { Store, StreamRead } from '../port.ts';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { systemClock } from '../../runtime/clock.ts';
import { silentLog } from '../../runtime/log.ts';
import type { Log } from '../../runtime/log.ts';

const skip = redisMissing() ?? missingPart('openssl') ?? false;
const files = new TestCertificates(findPart('openssl') ?? 'openssl');
let ours: TestAuthority;
let another: TestAuthority;
before(() => {
  if (skip !== false) return;
  ours = files.authority('ours');
  another = files.authority('another');
});
after(() => files.remove());

function open(url: string, trust: Partial<TrustFiles>, more: Partial<RedisOptions> = {}): Promise<Store> {
  return openRedisStore({
    url,
    password: '',
    trust: { ...PUBLIC_TRUST, ...trust },
    timeoutMs: 2000,
    clock: systemClock,
    log: silentLog,
    ...more,
  });
}

type Sections = (subject: StoreSubject) => void;

/** Sections of the contract on servers that are made empty for each test. */
function smoke(
  name: string,
  sections: readonly Sections[],
  at: () => { url: string; servers: readonly TestRedis[]; trust: Partial<TrustFiles> },
): void {
  const subject: StoreSubject = {
    name,
    skip: null,
    hooks: [],
    async open(limits) {
      const { url, servers, trust } = at();
      await Promise.all(servers.map((server) => server.command('FLUSHALL')));
      const store = await open(url, trust, limits === undefined ? {} : { limits });
      await untilReachable(store);
      return { store, advance: wait, nowMs: () => Date.now(), close: () => store.close() };
    },
  };
  for (const section of sections) section(subject);
}

/** As `timeoutMs`: whoever waits for its end has not heard of the misfit. */
const LONG_MS = 30_000;

/** Refused at open, by name, well before the time is up. */
async function refuses(opening: Promise<Store>, message: RegExp): Promise<void> {
  const startedAt = performance.now();
  await assert.rejects(opening, (error: Error & { code?: string }) => {
    assert.equal(error.code, 'store-refused');
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /wrong-password|right-password/);
    return true;
  });
  assert.ok(performance.now() - startedAt < LONG_MS / 2);
}

/** A log that keeps what it is told. */
function aHearingLog(): { readonly log: Log; readonly said: () => string } {
  const lines: unknown[] = [];
  const keep = (...parts: unknown[]): void => void lines.push(parts);
  const log: Log = { ...silentLog, debug: keep, info: keep, warn: keep, error: keep };
  return { log, said: () => JSON.stringify(lines) };
}

/** Waits, bounded, until the store says why it is away. */
async function untilSaid(store: Store, reason: RegExp): Promise<void> {
  for (let i = 0; i < 300; i++) {
    const { reachable, warnings } = await store.health();
    if (!reachable && reason.test(warnings.join('\n'))) return;
    await wait(20);
  }
  assert.match((await store.health()).warnings.join('\n'), reason);
}

describe('a Redis with TLS', { skip }, () => {
  let redis: TestRedis;
  before(async () => {
    redis = await TestRedis.start(DURABLE, undefined, ours.sign('single', 'IP:127.0.0.1'));
  });
  after(() => redis?.remove());

  smoke('redis with TLS', [readsContract, groupsContract], () => ({
    url: redis.url,
    servers: [redis],
    trust: { caFile: ours.ca },
  }));

  test('a tick of many TLS records goes through whole', async () => {
    const store = await open(redis.url, { caFile: ours.ca });
    const bodies = Array.from({ length: 200 }, (_, i) => `${i}`.padEnd(8000, 'x'));
    await Promise.all(bodies.map((body) => store.append([anAppend(topic('large'), body)])));
    const got: string[] = [];
    for (let after = null as StreamRead['after']; got.length < bodies.length;) {
      const [page] = await store.read([{ stream: topic('large'), after, entriesMax: 500 }]);
      got.push(...texts(page!.entries));
      after = { epoch: page!.epoch!, offset: page!.entries.at(-1)!.offset };
    }
    assert.deepEqual(got.sort(), bodies.sort());
    await store.close();
  });

  test('killed and started again, it serves what it had', async () => {
    const store = await open(redis.url, { caFile: ours.ca });
    const { epoch } = appended((await appendAll(store, topic('kept'), ['a']))[0]);
    await redis.kill();
    await assert.rejects(store.heads([topic('kept')]));
    await redis.start();
    await untilReachable(store);
    assert.deepEqual((await store.heads([topic('kept')]))[0], { epoch, head: 1 });
    await store.close();
  });

  test('a certificate that we do not trust is refused at open, with the setting that says whom we do', async () => {
    const said = /127\.0\.0\.1:\d+: TLS: expected a certificate signed by PUSHCLUSTER_STORE_CA_FILE/;
    await refuses(open(redis.url, { caFile: another.ca }), said);
    await refuses(open(redis.url, {}), said);
  });

  test('a certificate of another name is refused at open, and taken where that name is the one we want', async () => {
    const named = await TestRedis.start(VOLATILE, undefined, ours.sign('named', 'DNS:redis.test'));
    await refuses(
      open(named.url, { caFile: ours.ca }),
      /TLS: expected a certificate for 127\.0\.0\.1, got one for another name .*PUSHCLUSTER_STORE_SERVER_NAME/,
    );
    const store = await open(named.url, { caFile: ours.ca, serverName: 'redis.test' });
    assert.equal((await store.health()).reachable, true);
    await store.close();
    await refuses(open(named.url, { caFile: ours.ca, serverName: 'other.test' }), /for other\.test, got one/);
    await named.remove();
  });

  test('a server that asks for a certificate is shown ours; without one that it takes we are told which setting', async () => {
    await redis.command('CONFIG', 'SET', 'tls-auth-clients', 'yes');
    const show = (tls: { cert: string; key: string }): Partial<TrustFiles> => ({
      caFile: ours.ca,
      certificateFile: tls.cert,
      keyFile: tls.key,
    });
    const said = /TLS: expected a client certificate .* PUSHCLUSTER_STORE_CERTIFICATE_FILE/;
    await refuses(open(redis.url, { caFile: ours.ca }), said);
    await refuses(open(redis.url, show(another.sign('stranger', 'DNS:push'))), said);
    const store = await open(redis.url, show(ours.sign('push', 'DNS:push')));
    assert.equal((await store.health()).reachable, true);
    await store.close();
    await redis.command('CONFIG', 'SET', 'tls-auth-clients', 'no');
  });

  test('a certificate of ours that has run out is a store that is away, until another one is there', async () => {
    await redis.command('CONFIG', 'SET', 'tls-auth-clients', 'yes');
    const [cert, key] = [join(files.dir, 'shown.crt'), join(files.dir, 'shown.key')];
    const good = ours.sign('in-time', 'DNS:push');
    copyFileSync(ours.expire(good).cert, cert);
    copyFileSync(good.key, key);
    const store = await open(redis.url, { caFile: ours.ca, certificateFile: cert, keyFile: key });
    await untilSaid(store, /TLS: our certificate is not valid now \(PUSHCLUSTER_STORE_CERTIFICATE_FILE\)/);
    copyFileSync(good.cert, cert);
    await untilReachable(store);
    await store.close();
    await redis.command('CONFIG', 'SET', 'tls-auth-clients', 'no');
  });

  test('an ACL user with what README.md says is enough; a wrong name or password is refused, and neither is logged', async () => {
    const rights = ['~*', '+@all', '-@admin', '-@dangerous', '+info', '+config|get'];
    await redis.command('ACL', 'SETUSER', 'push', 'on', '>right-password', ...rights);
    const { log, said } = aHearingLog();
    const as = (username: string, password: string): Promise<Store> =>
      open(redis.url, { caFile: ours.ca }, { username, password, log });
    await refuses(as('push', 'wrong-password'), /WRONGPASS/);
    await refuses(as('nobody', 'right-password'), /WRONGPASS/);
    await assert.rejects(as('push', ''), { code: 'store-address', message: /PUSHCLUSTER_STORE_PASSWORD/ });
    const store = await as('push', 'right-password');
    await register(store, 'd1');
    assert.equal(appended((await appendAll(store, lane('d1'), ['a']))[0]).offset, 1);
    assert.equal(String(await redis.command('ACL', 'WHOAMI')), 'default');
    assert.match(String(await redis.command('CLIENT', 'LIST')), / user=push /);
    await store.close();
    assert.match(said(), /WRONGPASS/);
    assert.doesNotMatch(said(), /right-password|wrong-password/);
  });

  test('certificates that are renewed while it runs are followed; until then health says what is amiss', async () => {
    const [caFile, both] = [join(files.dir, 'renewed.crt'), join(files.dir, 'both.crt')];
    copyFileSync(ours.ca, caFile);
    writeFileSync(both, readFileSync(ours.ca, 'utf8') + readFileSync(another.ca, 'utf8'));
    const server = await TestRedis.start(VOLATILE, undefined, { ...ours.sign('old', 'IP:127.0.0.1'), ca: both });
    const { log, said } = aHearingLog();
    const store = await open(server.url, { caFile }, { log });
    const renewed = another.sign('renewed', 'IP:127.0.0.1');
    await server.command('CONFIG', 'SET', 'tls-cert-file', renewed.cert, 'tls-key-file', renewed.key);
    assert.equal((await store.health()).reachable, true, 'a connection that stands is not asked again');
    await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await untilSaid(store, /TLS: expected a certificate signed by PUSHCLUSTER_STORE_CA_FILE/);
    writeFileSync(caFile, 'half of a fi');
    for (let i = 0; !said().includes('cannot be read again') && i < 300; i++) await wait(20);
    assert.match(said(), /PUSHCLUSTER_STORE_CA_FILE: expected certificates/);
    copyFileSync(another.ca, caFile);
    await untilReachable(store);
    await store.close();
    await server.remove();
  });

  test('a port that never answers does not hold the start up, and health tells', async () => {
    const mute = createServer();
    await new Promise<void>((resolve) => {
      mute.listen(0, '127.0.0.1', resolve);
    });
    const startedAt = performance.now();
    const store = await open(`rediss://127.0.0.1:${(mute.address() as AddressInfo).port}`, {}, { timeoutMs: 200 });
    assert.ok(performance.now() - startedAt < 1500);
    await untilSaid(store, /ETIMEDOUT/);
    await store.close();
    mute.close();
  });

  test('files that cannot be used are refused by their setting', async () => {
    const garbage = join(files.dir, 'garbage.pem');
    writeFileSync(garbage, 'none\n');
    const [one, two] = [ours.sign('one', 'DNS:one'), ours.sign('two', 'DNS:two')];
    const cases: readonly (readonly [Partial<TrustFiles>, RegExp])[] = [
      [{ caFile: join(files.dir, 'missing') }, /PUSHCLUSTER_STORE_CA_FILE: cannot read the file/],
      [{ caFile: garbage }, /PUSHCLUSTER_STORE_CA_FILE: expected certificates/],
      [{ certificateFile: one.cert }, /expected PUSHCLUSTER_STORE_CERTIFICATE_FILE and PUSHCLUSTER_STORE_KEY_FILE/],
      [{ certificateFile: one.cert, keyFile: two.key }, /PUSHCLUSTER_STORE_KEY_FILE that belongs to/],
      [{ certificateFile: one.cert, keyFile: garbage }, /expected a key/],
    ];
    for (const [trust, message] of cases) await assert.rejects(open(redis.url, trust), { code: 'store-tls', message });
    await assert.rejects(open('redis://127.0.0.1:1', { caFile: ours.ca }), {
      code: 'store-tls',
      message: /PUSHCLUSTER_STORE_CA_FILE: expected an address rediss/,
    });
  });
});

describe('a Redis Cluster with TLS that tells its nodes by name', { skip }, () => {
  let cluster: Awaited<ReturnType<typeof startCluster>>;
  let url: string;
  before(async () => {
    // Certificates have the name alone, so that a connection to an address would be refused.
    const named = ['--cluster-announce-hostname', 'localhost', '--cluster-preferred-endpoint-type', 'hostname'];
    cluster = await startCluster(ours.sign('cluster', 'DNS:localhost'), named);
    url = `rediss+cluster://localhost:${cluster.masters[0]!.port}`;
  });
  after(() => cluster?.remove());

  smoke('redis cluster with TLS', [sessionsContract, groupsContract], () => ({
    url,
    servers: cluster.masters,
    trust: { caFile: ours.ca },
  }));

  test('nodes that are learned of are reached by TLS too, and a master that was killed is found again', async () => {
    const store = await open(url, { caFile: ours.ca });
    const refs = Array.from({ length: 60 }, (_, i) => topic(`t${i}`));
    await Promise.all(refs.map((ref) => store.append([anAppend(ref, 'x')])));
    for (const master of cluster.masters) assert.notEqual(await master.command('DBSIZE'), 0);
    await cluster.masters[2]!.kill();
    const outcomes = await Promise.allSettled(refs.map((ref) => store.append([anAppend(ref, 'x')])));
    assert.ok(outcomes.some(({ status }) => status === 'rejected'));
    await cluster.masters[2]!.start();
    for (let i = 0; !(await store.health()).reachable && i < 500; i++) await wait(20);
    await Promise.all(refs.map((ref) => store.append([anAppend(ref, 'x')])));
    await store.close();
  });

  test('a certificate that we do not trust, and one of another name, is refused at open', async () => {
    await refuses(
      open(url, { caFile: another.ca }, { timeoutMs: LONG_MS }),
      /localhost:\d+: TLS: .*PUSHCLUSTER_STORE_CA_FILE/,
    );
    const byAddress = url.replace('localhost', '127.0.0.1');
    await refuses(open(byAddress, { caFile: ours.ca }, { timeoutMs: LONG_MS }), /PUSHCLUSTER_STORE_SERVER_NAME/);
  });

  test('a wrong password is refused at open; an ACL user needs two rights more than on one Redis', async () => {
    const rights = ['~*', '+@all', '-@admin', '-@dangerous', '+info', '+config|get', '+cluster|slots', '+cluster|myid'];
    for (const master of cluster.masters)
      await master.command('ACL', 'SETUSER', 'push', 'on', '>right-password', ...rights);
    const as = (password: string): Promise<Store> => open(url, { caFile: ours.ca }, { username: 'push', password });
    await refuses(as('wrong-password'), /WRONGPASS/);
    const store = await as('right-password');
    assert.equal((await store.health()).reachable, true);
    await store.close();
  });
});

describe('a Redis with TLS whose address Sentinels tell', { skip }, () => {
  let master: TestRedis;
  let replica: TestRedis;
  let sentinel: Awaited<ReturnType<typeof startSentinel>>;
  // Sentinels tell addresses; certificates have a name.
  const trust = (): Partial<TrustFiles> => ({ caFile: ours.ca, serverName: 'redis.test' });
  before(async () => {
    const tls = ours.sign('sentinel', 'DNS:redis.test');
    master = await TestRedis.start([...VOLATILE, '--repl-diskless-sync-delay', '0'], undefined, tls);
    replica = await TestRedis.start([...VOLATILE, '--replicaof', '127.0.0.1', `${master.port}`], undefined, tls);
    const isSynced = async (): Promise<boolean> =>
      String(await replica.command('INFO', 'replication')).includes('master_link_status:up');
    for (let i = 0; !(await isSynced()) && i < 300; i++) await wait(20);
    // Only now: a Sentinel asks the master for its replicas at once, and then every 10 s.
    sentinel = await startSentinel(master, tls);
  });
  after(() => Promise.all([sentinel?.remove(), replica?.remove(), master?.remove()]));

  smoke('redis by sentinel with TLS', [groupsContract], () => ({
    url: sentinel.url,
    servers: [master],
    trust: trust(),
  }));

  test('a certificate that we do not trust, and one of another name, is refused at open: the Sentinel’s own', async () => {
    const at = `127\\.0\\.0\\.1:${sentinel.port}: TLS: expected`;
    await refuses(open(sentinel.url, { ...trust(), caFile: another.ca }, { timeoutMs: LONG_MS }), new RegExp(at));
    await refuses(open(sentinel.url, { caFile: ours.ca }, { timeoutMs: LONG_MS }), /for 127\.0\.0\.1, .*_SERVER_NAME/);
  });

  test('connections that wait for news of a failover ask for the trust of the hour each time they are made', async (t) => {
    const real = new Trust({ ...PUBLIC_TRUST, ...trust() }, silentLog);
    let asked = 0;
    const counting = { options: () => (asked++, real.options()) } as Trust;
    const redis = new Redis({
      sentinels: [{ host: '127.0.0.1', port: sentinel.port }],
      name: 'main',
      Connector: tlsSentinelConnector(counting),
      enableTLSForSentinelMode: true,
      tls: real.options(),
      sentinelTLS: real.options(),
      failoverDetector: true,
      sentinelReconnectStrategy: () => 10,
    });
    t.after(() => redis.disconnect());
    redis.on('error', () => undefined);
    const untilWaiting = async (): Promise<void> => {
      const isWaiting = async (): Promise<boolean> =>
        String(await sentinel.command('CLIENT', 'LIST', 'TYPE', 'pubsub')).includes(' cmd=subscribe');
      for (let i = 0; !(await isWaiting()) && i < 300; i++) await wait(20);
      assert.ok(await isWaiting());
    };
    await untilWaiting();
    const before = asked;
    assert.notEqual(await sentinel.command('CLIENT', 'KILL', 'TYPE', 'pubsub'), 0);
    await untilWaiting();
    assert.ok(asked > before);
  });

  test('after a failover the new master is reached by TLS', async () => {
    const store = await open(sentinel.url, trust());
    await untilReachable(store);
    assert.equal(appended((await appendAll(store, topic('f'), ['a']))[0]).offset, 1);
    for (let i = 0; (await sentinel.replicas()) !== 1 && i < 600; i++) await wait(20);
    assert.equal(await sentinel.replicas(), 1);
    const has = async (server: TestRedis): Promise<string> =>
      /(?:master_repl_offset|slave_repl_offset):(\d+)/.exec(String(await server.command('INFO', 'replication')))![1]!;
    for (let i = 0; (await has(replica)) !== (await has(master)) && i < 300; i++) await wait(20);
    await master.kill();
    for (let i = 0; i < 800; i++) {
      if ((await appendAll(store, topic('f'), ['b']).catch(() => null)) !== null) break;
      await wait(25);
    }
    assert.equal(appended((await appendAll(store, topic('f'), ['c']))[0]).offset, 3);
    await store.close();
  });
});
