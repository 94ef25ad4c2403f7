// What the router's tests are built from: an apps document, a store in memory that can fail, a gateway made of a link server, a running
// router. Tests only.
import { createHash, randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import type { Bus } from '../bus/port.ts';
import { aLinkKey } from '../link/fixtures.ts';
import { startLinkServer } from '../link/server.ts';
import type { LinkServer } from '../link/server.ts';
import type { AppDefinition } from '../protocol/apps.ts';
import { KEY_FILES } from '../protocol/credentials.ts';
import type { SigningKey } from '../protocol/credentials.ts';
import { messageIdAt } from '../protocol/ids.ts';
import type { AccountId, AppId, BootId, DeviceId, GatewayName } from '../protocol/ids.ts';
import type { Answer, AnswerMany, Command, DeliverDevice, DeliverMany, DeliverTopic, Reply } from '../protocol/link.ts';
import { RECORD_DEFAULTS, encodeRecord } from '../protocol/record.ts';
import type { MessageRecord } from '../protocol/record.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import { generateKeyFiles } from '../runtime/credentials.ts';
import type { Keys } from '../runtime/credentials.ts';
import { silentLog } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import { routerSettings } from '../settings/router.ts';
import { parseSettings } from '../settings/setting.ts';
import { openStore } from '../store/open.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { DeadLetter, Store } from '../store/port.ts';
import { startRouter } from './role.ts';
import type { RouterSettings } from './role.ts';

export const SHOP = 'shop' as AppId;
export const API_KEY = 'key-of-the-shop';
export const LINK_KEY = aLinkKey();

export function anApp(over: Partial<AppDefinition> = {}): AppDefinition {
  const sha256 = createHash('sha256').update(API_KEY).digest('hex');
  return {
    name: SHOP,
    publicKeys: [],
    apiKeys: [{ name: 'backend', sha256 }],
    allowedTopics: ['news', 'chat.*'],
    quotas: {},
    delivery: {},
    ...over,
  };
}
export function appsText(apps: readonly AppDefinition[], revision = 'r1'): string {
  return JSON.stringify({ version: 1, revision, apps });
}

/** A config source with one text, which the test may change; null: not known yet. */
export function aWatchedText(text: string | null) {
  const watching = new Set<(text: string) => void>();
  const source: ConfigSource = {
    watch(_configMap, _key, onText) {
      watching.add(onText);
      if (text !== null) onText(text);
      return () => watching.delete(onText);
    },
  };
  return {
    source,
    set(next: string) {
      text = next;
      for (const onText of watching) onText(next);
    },
  };
}

export const WEBHOOK_KEYS = JSON.parse(
  generateKeyFiles('2027-01-15T08:00:00Z')[KEY_FILES.webhook]!,
) as readonly SigningKey[];

export const ringOfLinkKey: Keys = {
  current: () => ({
    tokenPublic: [],
    tokenPrivate: [],
    ticket: [],
    link: [LINK_KEY],
    admin: [],
    webhook: WEBHOOK_KEYS,
  }),
  stop: () => {},
};

/** A store in memory; operations named in `failing` do not answer (`before`), or do and then the answer is lost (`after`). */
export async function aStore(t: TestContext, clock: Clock = systemClock) {
  const name = randomBytes(6).toString('hex');
  const store = await openStore({
    url: `sqlite::memory:${name}`,
    password: '',
    timeoutMs: 1000,
    clock,
    log: silentLog,
  });
  t.after(() => store.close());
  const failing = new Map<keyof Store, 'before' | 'after'>();
  const calls = new Map<string, number>();
  const proxied = new Proxy(store, {
    get(target, property: keyof Store) {
      const operation = target[property] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        calls.set(property, (calls.get(property) ?? 0) + 1);
        if (failing.get(property) === 'before') throw new StoreUnavailableError('told to fail');
        const answer = await operation.apply(target, args);
        if (failing.get(property) === 'after') throw new StoreUnavailableError('told to lose the answer');
        return answer;
      };
    },
  });
  return { store: proxied, failing, calls };
}

export async function aDevice(store: Store, device: string, account = 'ada'): Promise<DeviceId> {
  await store.registerDevice({
    app: SHOP,
    account: account as AccountId,
    device: device as DeviceId,
    tokenId: `token-${device}`,
    tokenExpiresAtMs: Date.now() + 3_600_000,
    accountDevicesMax: 64,
  });
  return device as DeviceId;
}

/** A message to the device that was dead-lettered, as a gateway does it. */
export async function aDeadLetter(
  store: Store,
  device: string,
  more: Partial<MessageRecord> = {},
): Promise<DeadLetter> {
  const id = messageIdAt(Date.now(), randomBytes(10));
  const stream = { app: SHOP, kind: 'device', device: device as DeviceId, lane: 'normal' } as const;
  const record = encodeRecord({
    ...RECORD_DEFAULTS,
    id,
    publishedAtMs: Date.now(),
    expiresAtMs: Date.now() + 3_600_000,
    content: 'text',
    attributes: new Uint8Array(0),
    body: Buffer.from('poison'),
    ...more,
  });
  await store.append([{ stream, messageId: id, record, expiresAtMs: 0 }]);
  await store.settleEntries([
    {
      app: SHOP,
      device: device as DeviceId,
      lane: 'normal',
      entry: { messageId: id },
      state: 'dead',
      generation: null,
      reason: 'attempts',
      attempts: 5,
    },
  ]);
  const { letters } = await store.deadLetters(SHOP, { cursor: null, limit: 500, device: device as DeviceId });
  return letters.find((letter) => letter.messageId === id)!;
}

export interface FakeGateway {
  readonly name: GatewayName;
  readonly bootId: BootId;
  readonly server: LinkServer;
  readonly heard: (DeliverDevice | DeliverTopic)[];
  /** What it answers, or null for no answer; by default every delivery is taken. */
  answer: (frame: DeliverDevice | DeliverTopic) => Omit<Answer, 'kind' | 'seq'> | null;
  readonly heardMany: DeliverMany[];
  /** What the router replied to commands. */
  readonly replies: Reply[];
  /** What it answers a message for many devices, or null for no answer; by default all rows are taken. */
  answerMany: (frame: DeliverMany) => Omit<AnswerMany, 'kind' | 'seq'> | null;
  /** What it replies to a command, or null for no reply (the default). */
  reply: (frame: Command) => Omit<Reply, 'kind' | 'seq'> | null;
  /** Puts the device's route here. */
  connect(device: DeviceId, account?: string): Promise<void>;
  /** Resolves once this many deliveries have come. */
  heardCount(count: number): Promise<void>;
}

/** A gateway made of a link server, with a lease in the store. */
export async function aGateway(
  t: TestContext,
  store: Store,
  options: { name?: string; port?: number; bootId?: string } = {},
): Promise<FakeGateway> {
  const name = (options.name ?? 'gw-0') as GatewayName;
  const bootId = (options.bootId ?? `boot-${randomBytes(4).toString('hex')}`) as BootId;
  const waiting = new Set<() => void>();
  const server = await startLinkServer({
    bind: '127.0.0.1',
    port: options.port ?? 0,
    keys: () => [LINK_KEY],
    name,
    clock: systemClock,
    log: silentLog,
    onFrame(peer, frame) {
      if (frame.kind === 'reply') gateway.replies.push({ ...frame, body: Buffer.from(frame.body) });
      if (frame.kind === 'command') {
        const reply = gateway.reply(frame);
        if (reply !== null) peer.send({ kind: 'reply', seq: frame.seq, ...reply });
      }
      if (frame.kind === 'deliver-many') {
        gateway.heardMany.push({ ...frame, record: Buffer.from(frame.record) });
        const answer = gateway.answerMany(frame);
        if (answer !== null) peer.send({ kind: 'answer-many', seq: frame.seq, ...answer });
      }
      if (frame.kind !== 'deliver-device' && frame.kind !== 'deliver-topic') return;
      gateway.heard.push({ ...frame, record: Buffer.from(frame.record) });
      const answer = gateway.answer(frame);
      if (answer !== null) peer.send({ kind: 'answer', seq: frame.seq, ...answer });
      waiting.forEach((wake) => wake());
    },
    onClose: () => {},
  });
  t.after(() => server.kill());
  const gateway: FakeGateway = {
    name,
    bootId,
    server,
    heard: [],
    heardMany: [],
    replies: [],
    answer: () => ({ outcome: 'taken', sessions: 1 }),
    answerMany: () => ({ notHere: [], slow: [] }),
    reply: () => null,
    async connect(device, account = 'ada') {
      const opened = await store.openSession({
        app: SHOP,
        account: account as AccountId,
        device,
        expectGeneration: null,
        permittedAtMs: Date.now(),
        gateway: name,
        bootId,
      });
      if (opened.kind !== 'opened') throw new Error(`expected the session to open, got ${opened.kind}`);
    },
    async heardCount(count) {
      while (gateway.heard.length < count)
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            waiting.delete(wake);
            resolve();
          };
          waiting.add(wake);
        });
    },
  };
  await store.renewLease(
    { gateway: name, bootId, linkAddress: `127.0.0.1:${server.port}`, connections: 0, startedAtMs: Date.now() },
    600_000,
  );
  return gateway;
}

export function aSettings(over: Partial<RouterSettings> = {}): RouterSettings {
  const env = {
    PUSHCLUSTER_CLUSTER: 'demo',
    PUSHCLUSTER_BIND: '127.0.0.1',
    PUSHCLUSTER_STORE: 'sqlite::memory:',
    PUSHCLUSTER_KEYS_DIR: '/nowhere',
    PUSHCLUSTER_HTTP_PORT: '0',
    PUSHCLUSTER_TCP_PORT: '0',
    PUSHCLUSTER_ADMIN_PORT: '0',
  };
  return { ...parseSettings(routerSettings, env, () => ''), leasePollMs: 50, ...over };
}

export interface AnsweredPush {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown> & { readonly error?: Record<string, unknown> };
}

/** A running router over the store; `push` posts to it as the shop. */
export async function aRouter(
  t: TestContext,
  options: {
    store: Store;
    settings?: Partial<RouterSettings>;
    apps?: ReturnType<typeof aWatchedText>;
    clock?: Clock;
    bus?: Bus;
  },
) {
  const apps = options.apps ?? aWatchedText(appsText([anApp()]));
  const role: RunningRole = await startRouter(aSettings(options.settings), {
    store: options.store,
    keys: ringOfLinkKey,
    clock: options.clock ?? systemClock,
    log: silentLog,
    random: () => 0.5,
    config: apps.source,
    bus: options.bus ?? null,
  });
  t.after(() => role.kill());
  const url = `http://127.0.0.1:${role.ports['http']}`;
  const adminUrl = `http://127.0.0.1:${role.ports['admin']}`;
  const ask = async (path: string, init: RequestInit = {}): Promise<AnsweredPush> => {
    const headers = { authorization: `Bearer ${API_KEY}`, ...(init.headers as Record<string, string> | undefined) };
    const response = await fetch(url + path, { ...init, headers });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as AnsweredPush['body'],
    };
  };
  const push = (message: unknown, headers: Record<string, string> = {}): Promise<AnsweredPush> =>
    ask('/v1/messages', {
      method: 'POST',
      body: typeof message === 'string' ? message : JSON.stringify(message),
      headers: { 'content-type': 'application/json', ...headers },
    });
  const metric = async (line: string): Promise<number> => {
    const text = await (await fetch(`${adminUrl}/metrics`)).text();
    const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `));
    return found === undefined ? 0 : Number(found.slice(line.length));
  };
  /** Resolves once links to this many gateways stand. */
  const linked = async (count: number): Promise<void> => {
    while ((await metric('pushcluster_router_links_up')) < count) await new Promise(setImmediate);
  };
  return { role, url, adminUrl, ask, push, metric, linked, apps };
}
