// What tests of the gateway share: a gateway on loopback with an in-memory store and a clock that is moved by hand, clients that speak
// frames over real WebSockets, and a router's end of a link.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { openLink } from '../link/client.ts';
import type { Link } from '../link/client.ts';
import type { ClientFrame } from '../protocol/frames.ts';
import { SUBPROTOCOL_JSON } from '../protocol/frames.ts';
import type { GatewayState } from '../protocol/admin.ts';
import type { AccountId, AppId, DeviceId, Epoch, MessageId, TopicName } from '../protocol/ids.ts';
import { messageIdAt } from '../protocol/ids.ts';
import type { Answer, AnswerMany, DeliverManyRow, LinkFrame } from '../protocol/link.ts';
import { RECORD_DEFAULTS, encodeRecord } from '../protocol/record.ts';
import type { MessageRecord } from '../protocol/record.ts';
import type { Lane } from '../protocol/streams.ts';
import { aManualClock } from '../runtime/clock.ts';
import type { ManualClock } from '../runtime/clock.ts';
import { generateKeyFiles, openKeys, signToken } from '../runtime/credentials.ts';
import type { Keys } from '../runtime/credentials.ts';
import { silentLog } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import type { Bus } from '../bus/port.ts';
import { gatewaySettings } from '../settings/gateway.ts';
import { parseSettings } from '../settings/setting.ts';
import type { Store, StreamRef } from '../store/port.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { startGateway } from './role.ts';
import { TestClient, turns, until } from './test-client.ts';
import type { GatewaySettings } from './gateway.ts';
import type { Vitals } from './load/vitals.ts';

export const APP = 'shop' as AppId;
/** Tests on a busy machine shed nothing. */
const QUIET: Vitals = { look: () => ({ lagMs: 0, memoryBytes: 0 }), stop() {} };
/** One cluster: a store, keys and a clock, for any number of gateways. */
export class World {
  readonly clock: ManualClock = aManualClock();
  store: Store;
  /** Something that is awaited in real time, as a Redis is, has not answered: turns wait for it. */
  isWaiting: () => boolean = () => false;
  readonly keys: Keys;
  readonly #dir: string;
  readonly #gateways: TestGateway[] = [];
  readonly #clients: TestClient[] = [];
  #serial = 0;

  /** @param store a path of SQLite, or a store that is open; it is closed at the end */
  constructor(store: string | Store = ':memory:') {
    this.store = typeof store === 'string' ? openSqliteStore({ path: store, clock: this.clock }) : store;
    this.#dir = mkdtempSync(join(tmpdir(), 'gateway-test-'));
    for (const [file, text] of Object.entries(generateKeyFiles('2026-01-01T00:00:00Z')))
      writeFileSync(join(this.#dir, file), text);
    this.keys = openKeys(this.#dir, this.clock, silentLog);
  }

  async gateway(
    changes: Partial<GatewaySettings> = {},
    more: { bus?: Bus | null; store?: Store; vitals?: Vitals } = {},
  ): Promise<TestGateway> {
    const name = `gateway-${this.#gateways.length}`;
    const env = {
      PUSHCLUSTER_CLUSTER: 'demo',
      PUSHCLUSTER_STORE: 'sqlite::memory:',
      PUSHCLUSTER_KEYS_DIR: this.#dir,
      PUSHCLUSTER_GATEWAY_NAME: name,
      PUSHCLUSTER_LINK_HOST: '127.0.0.1',
    };
    const defaults = parseSettings(gatewaySettings, env, () => '');
    const ports = { bind: '127.0.0.1', clientPort: 0, linkPort: 0, adminPort: 0 };
    const settings = { ...defaults, ...ports, acceptRampMs: 0, ...changes };
    const { store = this.store, bus = null, vitals = QUIET } = more;
    const deps = { store, bus, keys: this.keys, clock: this.clock, log: silentLog, random: () => 0.5, vitals };
    const gateway = new TestGateway(this, await startGateway(settings, deps));
    this.#gateways.push(gateway);
    return gateway;
  }

  /** A device that has registered, and its token. */
  async device(
    name: string,
    more: { account?: string; topics?: readonly string[]; ttlS?: number; presence?: true } = {},
  ): Promise<string> {
    const account = (more.account ?? 'ann') as AccountId;
    const nowS = Math.floor(this.clock.nowMs() / 1000);
    const exp = nowS + (more.ttlS ?? 3600);
    const device = name as DeviceId;
    const tokenId = `token-${++this.#serial}`;
    await this.store.registerDevice({
      app: APP,
      account,
      device,
      tokenId,
      tokenExpiresAtMs: exp * 1000,
      accountDevicesMax: 64,
    });
    const presence = more.presence === undefined ? {} : { presence: more.presence };
    const claims = { app: APP, account, device, topics: more.topics ?? ['news', 'chat.*'], ...presence };
    return signToken({ iss: 'demo', ...claims, jti: tokenId, iat: nowS, exp }, this.keys.current());
  }

  /** Appends to a device's lane; answers the hint a router would send. */
  async appendTo(device: string, body: unknown, lane: Lane = 'normal', more: RecordOptions = {}): Promise<Entry> {
    return this.#append({ app: APP, kind: 'device', device: device as DeviceId, lane }, body, more);
  }
  async publish(topic: string, body: unknown, more: RecordOptions = {}): Promise<Entry> {
    return this.#append({ app: APP, kind: 'topic', topic: topic as TopicName }, body, more);
  }
  async #append(stream: StreamRef, body: unknown, more: RecordOptions): Promise<Entry> {
    const { id, record } = this.record(body, more);
    const [outcome] = await this.store.append([{ stream, messageId: id, record, expiresAtMs: more.expiresAtMs ?? 0 }]);
    if (outcome?.kind !== 'appended') throw new Error(`append: ${JSON.stringify(outcome)}`);
    return { id, epoch: outcome.epoch, offset: outcome.offset, prev: outcome.prev, record };
  }
  record(body: unknown, more: RecordOptions = {}): { id: MessageId; record: Uint8Array } {
    const random = new Uint8Array(10);
    new DataView(random.buffer).setUint32(0, ++this.#serial);
    const id = messageIdAt(this.clock.nowMs(), random);
    const record = encodeRecord({
      ...RECORD_DEFAULTS,
      id,
      publishedAtMs: this.clock.nowMs(),
      expiresAtMs: 0,
      content: 'json',
      body: Buffer.from(JSON.stringify(body)),
      ...more,
      attributes: more.attributes === undefined ? new Uint8Array(0) : Buffer.from(JSON.stringify(more.attributes)),
    });
    return { id, record };
  }

  /** Moves time on in ticks of the wheel, letting the sockets work in between. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(Math.min(50, left));
      await this.turns(3);
    }
  }
  /** Turns of the event loop, however long the store takes. */
  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await turns(1);
      while (this.isWaiting()) await turns(1);
    }
  }

  track(client: TestClient): void {
    this.#clients.push(client);
  }
  async end(): Promise<void> {
    for (const client of this.#clients) client.socket.terminate();
    for (const gateway of this.#gateways) gateway.kill();
    this.keys.stop();
    await turns();
    await this.store.close();
    rmSync(this.#dir, { recursive: true });
  }
}

/** What a message says beside its body. */
export type RecordOptions = Partial<Omit<MessageRecord, 'id' | 'attributes' | 'body'>> & {
  readonly attributes?: object;
};
export interface Entry {
  readonly id: MessageId;
  readonly epoch: Epoch;
  readonly offset: number;
  readonly prev: number;
  readonly record: Uint8Array;
}

export class TestGateway {
  readonly role: RunningRole;
  readonly #world: World;
  readonly #links: Link[] = [];

  constructor(world: World, role: RunningRole) {
    this.#world = world;
    this.role = role;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.role.ports['client']}/`;
  }
  /** A socket without a hello. */
  async socket(): Promise<TestClient> {
    const client = new TestClient(new WebSocket(this.url, SUBPROTOCOL_JSON));
    this.#world.track(client);
    await once(client.socket, 'open');
    return client;
  }
  /** A client that was welcomed. */
  async connect(hello: Omit<Extract<ClientFrame, { type: 'hello' }>, 'type' | 'version'>): Promise<TestClient> {
    const client = await this.socket();
    client.send({ type: 'hello', version: 1, ...hello });
    await client.next('welcome');
    return client;
  }
  async router(): Promise<TestRouter> {
    const router = new TestRouter(`127.0.0.1:${this.role.ports['link']}`, this.#world, this);
    this.#links.push(router.link);
    await until('the link is up', () => router.link.isUp());
    return router;
  }
  async admin(method: string, path: string, body?: unknown, secret?: string): Promise<Response> {
    const bearer = secret ?? this.#world.keys.current().admin[0]!.secret;
    return fetch(`http://127.0.0.1:${this.role.ports['admin']}${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', connection: 'close' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
  async state(): Promise<GatewayState> {
    return (await (await this.admin('GET', '/v1/state')).json()) as GatewayState;
  }
  kill(): void {
    for (const link of this.#links) link.kill();
    this.role.kill();
  }
}

/** A router's end of a link: sends hints and collects their answers. */
export class TestRouter {
  readonly link: Link;
  readonly answers = new Map<number, Answer>();
  readonly answersMany = new Map<number, AnswerMany>();
  readonly #gateway: TestGateway;
  #seq = 0;

  constructor(address: string, world: World, gateway: TestGateway) {
    this.#gateway = gateway;
    this.link = openLink({
      address,
      keys: () => world.keys.current().link,
      name: 'router-0',
      clock: world.clock,
      log: silentLog,
      onFrame: (frame: LinkFrame) => {
        if (frame.kind === 'answer') this.answers.set(frame.seq, frame);
        if (frame.kind === 'answer-many') this.answersMany.set(frame.seq, frame);
      },
      onDown: () => {},
    });
  }

  async toDevice(
    device: string,
    entry: Entry | { record: Uint8Array },
    lane: Lane = 'normal',
    stamp = ++this.#seq,
  ): Promise<Answer> {
    const { bootId } = await this.#gateway.state();
    const place = 'epoch' in entry ? entry : { epoch: null, offset: 0, prev: 0, record: entry.record };
    return this.#ask({
      kind: 'deliver-device',
      seq: ++this.#seq,
      app: APP,
      device: device as DeviceId,
      bootId,
      lane,
      stamp,
      ...place,
    });
  }
  async toTopic(topic: string, entry: Entry | { record: Uint8Array }, stamp = ++this.#seq): Promise<Answer> {
    const place = 'epoch' in entry ? entry : { epoch: null, offset: 0, prev: 0, record: entry.record };
    return this.#ask({ kind: 'deliver-topic', seq: ++this.#seq, app: APP, topic: topic as TopicName, stamp, ...place });
  }
  /** One message to many devices. */
  async toMany(rows: readonly DeliverManyRow[], record: Uint8Array, lane: Lane = 'normal'): Promise<AnswerMany> {
    const { bootId } = await this.#gateway.state();
    const seq = ++this.#seq;
    this.link.send({ kind: 'deliver-many', seq, app: APP, bootId, lane, record, rows });
    await until('the hints were answered', () => this.answersMany.has(seq));
    return this.answersMany.get(seq)!;
  }
  async #ask(frame: LinkFrame & { seq: number }): Promise<Answer> {
    this.link.send(frame);
    await until('the hint was answered', () => this.answers.has(frame.seq));
    return this.answers.get(frame.seq)!;
  }
}
