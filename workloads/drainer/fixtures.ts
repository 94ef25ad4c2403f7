// What the drainer's tests share: a store with backlogs, a gateway's end of a link, and a drainer. Tests only.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startLinkServer } from '../link/server.ts';
import type { LinkPeer, LinkServer } from '../link/server.ts';
import { messageIdAt } from '../protocol/ids.ts';
import type { AccountId, AppId, BootId, DeviceId, GatewayName, MessageId } from '../protocol/ids.ts';
import type { Feed, FeedLater, FeedRequest } from '../protocol/link.ts';
import { RECORD_DEFAULTS, encodeRecord } from '../protocol/record.ts';
import type { MessageRecord } from '../protocol/record.ts';
import type { Lane } from '../protocol/streams.ts';
import { aManualClock } from '../runtime/clock.ts';
import type { ManualClock } from '../runtime/clock.ts';
import { generateKeyFiles, openKeys } from '../runtime/credentials.ts';
import type { Keys } from '../runtime/credentials.ts';
import { silentLog } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import { drainerSettings } from '../settings/drainer.ts';
import { parseSettings } from '../settings/setting.ts';
import type { Store } from '../store/port.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { startDrainer } from './role.ts';
import type { DrainerSettings } from './role.ts';

export const APP = 'shop' as AppId;

/** Lets the event loop turn until `isDone`; fails by name after some real seconds. */
export async function until(what: string, isDone: () => boolean): Promise<void> {
  const endsAt = performance.now() + 5000;
  while (!isDone()) {
    if (performance.now() > endsAt) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export class World {
  readonly clock: ManualClock = aManualClock();
  readonly store: Store = openSqliteStore({ path: ':memory:', clock: this.clock });
  readonly keys: Keys;
  readonly #dir = mkdtempSync(join(tmpdir(), 'drainer-test-'));
  readonly #ends: (() => void)[] = [];
  #serial = 0;

  constructor() {
    for (const [file, text] of Object.entries(generateKeyFiles('2026-01-01T00:00:00Z')))
      writeFileSync(join(this.#dir, file), text);
    this.keys = openKeys(this.#dir, this.clock, silentLog);
  }

  async drainer(changes: Partial<DrainerSettings> = {}, store: Store = this.store): Promise<RunningRole> {
    const env = {
      PUSHCLUSTER_CLUSTER: 'demo',
      PUSHCLUSTER_STORE: 'sqlite::memory:',
      PUSHCLUSTER_KEYS_DIR: this.#dir,
      PUSHCLUSTER_DRAINER_NAME: `drainer-${this.#ends.length}`,
    };
    const defaults = parseSettings(drainerSettings, env, () => '');
    const settings = { ...defaults, bind: '127.0.0.1', adminPort: 0, ...changes };
    const { keys, clock } = this;
    const drainer = await startDrainer(settings, { store, keys, clock, log: silentLog, random: () => 0.5 });
    this.#ends.push(() => drainer.kill());
    return drainer;
  }

  /** A gateway's link port with its lease. */
  async gateway(name = 'gateway-0'): Promise<AskingGateway> {
    const gateway = new AskingGateway();
    const links = await startLinkServer({
      bind: '127.0.0.1',
      port: 0,
      keys: () => this.keys.current().link,
      name,
      clock: this.clock,
      log: silentLog,
      onFrame: (_peer, frame) => gateway.take(frame as Feed | FeedLater),
      onClose: () => {},
    });
    gateway.links = links;
    this.#ends.push(() => links.kill());
    const lease = {
      gateway: name as GatewayName,
      bootId: name as BootId,
      linkAddress: `127.0.0.1:${links.port}`,
      connections: 0,
      startedAtMs: this.clock.nowMs(),
    };
    await this.store.renewLease(lease, 3_600_000);
    return gateway;
  }

  async device(name: string): Promise<void> {
    await this.store.registerDevice({
      app: APP,
      account: 'ann' as AccountId,
      device: name as DeviceId,
      tokenId: `t-${name}`,
      tokenExpiresAtMs: this.clock.nowMs() + 3_600_000,
      accountDevicesMax: 100_000,
    });
  }
  id(): MessageId {
    const random = new Uint8Array(10);
    new DataView(random.buffer).setUint32(0, ++this.#serial);
    return messageIdAt(this.clock.nowMs(), random);
  }
  async append(device: string, count: number, over: Partial<MessageRecord> = {}, lane: Lane = 'normal'): Promise<void> {
    const appends = Array.from({ length: count }, () => {
      const messageId = over.id ?? this.id();
      const record = encodeRecord({
        ...RECORD_DEFAULTS,
        id: messageId,
        publishedAtMs: this.clock.nowMs(),
        expiresAtMs: 0,
        content: 'text',
        attributes: new Uint8Array(0),
        body: Buffer.from('hello'),
        ...over,
      });
      const stream = { app: APP, kind: 'device', device: device as DeviceId, lane } as const;
      return { stream, messageId, record, expiresAtMs: 0 };
    });
    await this.store.append(appends);
  }

  /** Moves time on in steps of the drainer's tick. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 10) {
      this.clock.advance(10);
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  async end(): Promise<void> {
    for (const end of this.#ends) end();
    this.keys.stop();
    await this.store.close();
    rmSync(this.#dir, { recursive: true });
  }
}

/** The gateway's end: asks, and collects what comes. */
export class AskingGateway {
  links: LinkServer | null = null;
  readonly answers = new Map<number, Feed | FeedLater>();
  #seq = 0;

  async linked(count = 1): Promise<void> {
    await until('the drainers have linked', () => this.drainers().length === count);
  }
  drainers(): readonly LinkPeer[] {
    return this.links!.peers().filter(({ role }) => role === 'drainer');
  }
  take(frame: Feed | FeedLater): void {
    this.answers.set(frame.seq, frame);
  }
  ask(device: string, over: Partial<FeedRequest> = {}, at = 0): number {
    const seq = ++this.#seq;
    const frame = { kind: 'feed-request', seq, app: APP, device: device as DeviceId, lane: 'normal' } as const;
    this.drainers()[at]!.send({ ...frame, epoch: null, offset: 0, entriesMax: 128, ...over });
    return seq;
  }
  async answer(seq: number): Promise<Feed | FeedLater> {
    await until(`request ${seq} was answered`, () => this.answers.has(seq));
    return this.answers.get(seq)!;
  }
  async feed(seq: number): Promise<Feed> {
    const answer = await this.answer(seq);
    if (answer.kind !== 'feed') throw new Error(`expected a feed, got ${JSON.stringify(answer)}`);
    return answer;
  }
}
