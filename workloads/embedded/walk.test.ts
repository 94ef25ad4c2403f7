// A seeded random walk over a whole cluster in one process: connections cut, gateways killed, scaled and drained, the operator replaced,
// devices away for a while, messages that expire, all while pushes are accepted. Whatever happens, each application is handed every
// durable message that was accepted for it, once, and each stream in order. SEED=n repeats a walk (timing apart).
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { openClient } from '../client/client.ts';
import type { Client } from '../client/client.ts';
import type { ReceivedMessage } from '../client/received.ts';
import { openMemoryStorage } from '../client/storage.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { MANIFEST, until } from './crowd.ts';
import { signDeviceCredential } from './demo-access.ts';
import { isReady, openEmbedded } from './embedded.ts';
import type { Embedded } from './embedded.ts';
import { readManifest } from './manifest.ts';

/** Short times, so that leases end, windows fill and acks are waited for within the walk. */
const ENV = {
  PUSHCLUSTER_LEASE_MS: '600',
  PUSHCLUSTER_LEASE_POLL_MS: '50',
  PUSHCLUSTER_STOP_GRACE_MS: '500',
  PUSHCLUSTER_POSITION_CHECK_MS: '1000',
  PUSHCLUSTER_ACK_TIMEOUT_MS: '400',
  PUSHCLUSTER_WINDOW_MESSAGES_MAX: '8',
  PUSHCLUSTER_ROUTE_CACHE_MS: '500',
};
const WALK_MS = 5000;
/** With what the client takes by default, who is cut ten times in the walk would then wait for up to half a minute. */
const STABLE_MS = 100;
const SETTLE_MS = 8000;
const DEVICES = 8;
const ACCOUNTS = 3;
const PUSHES_MAX = 30;
const KILL_EVERY_MS = 1500;
const SCALE_EVERY_MS = 1500;
const LANES = ['high', 'normal', 'low'] as const;

class Device {
  readonly name: string;
  readonly account: string;
  readonly got: ReceivedMessage[] = [];
  readonly wanted = new Set<string>();
  client: Client | null = null;
  readonly #storage = openMemoryStorage();

  constructor(at: number) {
    this.name = `device-${at}`;
    this.account = `account-${at % ACCOUNTS}`;
  }
  async open(embedded: Embedded, seed: number): Promise<Client> {
    const who = { app: embedded.apps[0] ?? '', account: this.account, device: this.name };
    this.client = await openClient({
      ...who,
      registryUrl: (await embedded.status())?.registryAddress ?? '',
      credential: () => signDeviceCredential(embedded.access, who),
      storage: this.#storage,
      seed,
      connection: { stableMs: STABLE_MS },
      onMessage: (message) => this.got.push(message),
    });
    return this.client;
  }
  async close(): Promise<void> {
    const { client } = this;
    this.client = null;
    await client?.close();
  }
  missing(): string[] {
    const have = new Set<string>(this.got.map(({ id }) => id));
    return [...this.wanted].filter((id) => !have.has(id)).map((id) => `${this.name} ${id}`);
  }
  assertExact(): void {
    const ids = this.got.map(({ id, stream }) => `${stream} ${id}`);
    assert.equal(ids.length, new Set(ids).size, `${this.name} was handed something twice`);
    for (const [stream, messages] of Map.groupBy(this.got, (each) => `${each.stream} ${each.epoch}`)) {
      const offsets = messages.map(({ offset }) => offset ?? 0);
      const inOrder = offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]!);
      assert.ok(inOrder, `${this.name} was handed ${stream} out of order: ${offsets.join(' ')}`);
    }
  }
}

class Walk {
  readonly #embedded: Embedded;
  readonly #pushes = new Set<Promise<void>>();
  readonly devices = Array.from({ length: DEVICES }, (_, i) => new Device(i));
  #state: number;
  #killedAtMs = 0;
  #scaledAtMs = 0;
  accepted = 0;

  constructor(embedded: Embedded, seed: number) {
    this.#embedded = embedded;
    this.#state = seed;
  }
  random(below: number): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((this.#state / 2 ** 31) * below);
  }

  async begin(): Promise<void> {
    await Promise.all(
      this.devices.map(async (device) => (await device.open(this.#embedded, this.random(1e9))).subscribe('news')),
    );
  }
  async step(): Promise<void> {
    const device = this.devices[this.random(DEVICES)]!;
    const chance = this.random(100);
    const lane = LANES[this.random(LANES.length)]!;
    const ttlMs = 5 + this.random(300);
    if (chance < 40) this.#push({ target: { device: device.name }, lane }, [device]);
    else if (chance < 52) this.#push({ target: { topic: 'news' } }, this.devices);
    else if (chance < 56) this.#push({ target: { everyone: true } }, this.devices);
    else if (chance < 60) this.#push({ target: { account: device.account }, lane }, this.#devicesOf(device.account));
    else if (chance < 66) this.#push({ target: { device: device.name }, lane, ttlMs }, []);
    else if (chance < 68) this.#push({ target: { topic: 'news' }, ttlMs }, []);
    else if (chance < 80) device.client?.cut();
    else if (chance < 90) await this.#comeOrGo(device);
    else if (chance < 94) await this.#kill();
    else if (chance < 98) await this.#scale();
    else if (chance < 99) await this.#embedded.restartOperator();
    await new Promise((resolve) => setTimeout(resolve, this.random(20)));
  }
  /** Everyone is back, and every push has its answer. */
  async end(): Promise<void> {
    for (const device of this.devices) if (device.client === null) await this.#comeOrGo(device);
    await Promise.all(this.#pushes);
  }

  #devicesOf(account: string): Device[] {
    return this.devices.filter((device) => device.account === account);
  }
  async #comeOrGo(device: Device): Promise<void> {
    if (device.client === null) await device.open(this.#embedded, this.random(1e9));
    else await device.close();
  }
  async #kill(): Promise<void> {
    const gateways = (await this.#embedded.status())?.gateways ?? [];
    const victim = gateways[this.random(gateways.length)];
    if (victim === undefined || Date.now() - this.#killedAtMs < KILL_EVERY_MS) return;
    this.#killedAtMs = Date.now();
    try {
      this.#embedded.kill(victim.name);
    } catch (error) {
      assert.match(String(error), /expected a running pod/); // the status was older than its end
    }
  }
  async #scale(): Promise<void> {
    if (Date.now() - this.#scaledAtMs < SCALE_EVERY_MS) return;
    this.#scaledAtMs = Date.now();
    await this.#embedded.scale(1 + this.random(3));
  }

  #push(message: object, owed: readonly Device[]): void {
    if (this.#pushes.size >= PUSHES_MAX) return;
    const push = this.#publish(message, owed).finally(() => this.#pushes.delete(push));
    this.#pushes.add(push);
  }
  /** Until it is accepted, with one key. */
  async #publish(message: object, owed: readonly Device[]): Promise<void> {
    const url = `${(await this.#embedded.status())?.routerAddress ?? ''}/v1/messages`;
    const headers = {
      authorization: `Bearer ${this.#embedded.access.apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
    };
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ ...message, body: 1 }) });
    const answer = (await response.json()) as { id: string };
    assert.equal(response.status, 202, JSON.stringify(answer));
    this.accepted++;
    for (const device of owed) device.wanted.add(answer.id);
  }
}

test('a random walk over connections, gateways and pushes loses nothing, repeats nothing and keeps every order', async (t) => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`SEED=${seed}`);
  const embedded = await openEmbedded({
    manifest: readManifest(MANIFEST),
    dataDir: null,
    portBase: 0,
    clock: systemClock,
    log: silentLog,
    activeMs: 50,
    env: ENV,
  });
  const walk = new Walk(embedded, seed);
  t.after(async () => {
    await Promise.all(walk.devices.map((device) => device.close()));
    await embedded.stop();
  });
  await until('the cluster is Ready', async () => isReady(await embedded.status()));
  const missing = (): string[] => walk.devices.flatMap((device) => device.missing());
  await walk.begin();
  const endsAtMs = Date.now() + WALK_MS;
  while (Date.now() < endsAtMs) await walk.step();
  await walk.end();
  t.diagnostic(`accepted ${walk.accepted}`);
  await until('everything accepted is handed over', () => missing().length === 0, SETTLE_MS).catch((error: unknown) => {
    const states = walk.devices.map(({ name, client }) => `${name} ${client?.state().kind} ${client?.state().problem}`);
    throw new Error(`seed ${seed}: lost ${missing().slice(0, 5).join(', ')}; ${states.join('; ')}`, { cause: error });
  });
  for (const device of walk.devices) device.assertExact();
});
