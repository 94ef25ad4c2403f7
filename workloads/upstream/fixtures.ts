// What the tests of the upstream role are built from: records as gateways publish them, handlers that do as told, a running role. Tests only.
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { openInProcessBus } from '../bus/in-process.ts';
import { BUS_TOPICS } from '../bus/port.ts';
import type { Bus, BusRecord, ReceivedRecord } from '../bus/port.ts';
import { aLinkKey } from '../link/fixtures.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Keys } from '../runtime/credentials.ts';
import { generateKeyFiles } from '../runtime/credentials.ts';
import { silentLog } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import type { SigningKey, SymmetricKey } from '../protocol/credentials.ts';
import { KEY_FILES } from '../protocol/credentials.ts';
import { parseSettings } from '../settings/setting.ts';
import { upstreamSettings } from '../settings/upstream.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/port.ts';
import { HANDLED } from './handlers/handler.ts';
import type { Outcome, UpstreamHandler } from './handlers/handler.ts';
import { parseMessage } from './message.ts';
import type { UpstreamMessage } from './message.ts';
import { startUpstream } from './role.ts';

export const LINK_KEY = aLinkKey();
const keyFiles = generateKeyFiles('2026-01-01T00:00:00Z');
export const ADMIN_KEYS = JSON.parse(keyFiles[KEY_FILES.admin]!) as readonly SymmetricKey[];
export const WEBHOOK_KEYS = JSON.parse(keyFiles[KEY_FILES.tokenPrivate]!) as readonly SigningKey[];
export const keys: Keys = {
  current: () => ({
    tokenPublic: [],
    tokenPrivate: [],
    ticket: [],
    link: [LINK_KEY],
    admin: ADMIN_KEYS,
    webhook: WEBHOOK_KEYS,
  }),
  stop: () => {},
};

export interface MessageSpec {
  readonly device?: string;
  readonly kind?: string;
  readonly key?: string;
  readonly order?: string;
  readonly body?: unknown;
  readonly receivedAtMs?: number;
}

/** As gateways publish it: device d, kind order, unless told. */
export function anUpstreamRecord(spec: MessageSpec = {}): BusRecord {
  const { device = 'd', kind = 'order', key = 'k1', body = { n: 1 }, receivedAtMs = 1_800_000_000_000 } = spec;
  return {
    topic: BUS_TOPICS.upstream,
    key: `shop/${spec.order ?? device}`,
    headers: { app: 'shop', account: 'ann', device, gateway: 'gw-0', kind, key, receivedAtMs: `${receivedAtMs}` },
    value: Buffer.from(JSON.stringify(body)),
  };
}

export function received(record: BusRecord, offset = 0, partition = 0): ReceivedRecord {
  return { ...record, partition, offset };
}

export function aMessage(spec: MessageSpec = {}, offset = 0): UpstreamMessage {
  const parsed = parseMessage(received(anUpstreamRecord(spec), offset));
  if (parsed.kind !== 'message') throw new Error(parsed.reason);
  return parsed.message;
}

/** Says for each message what `answer` says; remembers what it was asked. */
export class ScriptedHandler implements UpstreamHandler {
  readonly batchMax: number;
  readonly concurrency: number;
  readonly asked: (readonly UpstreamMessage[])[] = [];
  answer: (message: UpstreamMessage) => Outcome | Promise<Outcome> = () => HANDLED;

  constructor(bounds: { batchMax?: number; concurrency?: number } = {}) {
    this.batchMax = bounds.batchMax ?? 100;
    this.concurrency = bounds.concurrency ?? 4;
  }

  async handle(messages: readonly UpstreamMessage[]): Promise<readonly Outcome[]> {
    this.asked.push(messages);
    return await Promise.all(messages.map(async (message) => await this.answer(message)));
  }
  /** Keys in the order asked for. */
  get keys(): readonly string[] {
    return this.asked.flat().map(({ key }) => key);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

export interface RoleSpec {
  readonly env?: Readonly<Record<string, string>>;
  readonly bus?: Bus;
  readonly clock?: Clock;
  readonly memoryBytes?: () => number;
}

export interface UpstreamUnderTest {
  readonly role: RunningRole;
  readonly bus: Bus;
  readonly store: Store;
  /** The admin port. */
  readonly ask: (method: 'GET' | 'POST', path: string, body?: unknown) => Promise<{ status: number; body: unknown }>;
}

/** A running role with a bus and a store in memory; both end with the test. */
export async function aRole(t: TestContext, spec: RoleSpec = {}): Promise<UpstreamUnderTest> {
  const clock = spec.clock ?? systemClock;
  const bus = spec.bus ?? openInProcessBus({ clock: systemClock, log: silentLog });
  const store = await openStore({
    url: `sqlite::memory:${randomBytes(6).toString('hex')}`,
    password: '',
    timeoutMs: 1000,
    clock,
    log: silentLog,
  });
  const env = {
    PUSHCLUSTER_CLUSTER: 'test',
    PUSHCLUSTER_BIND: '127.0.0.1',
    PUSHCLUSTER_STORE: 'sqlite::memory:unused',
    PUSHCLUSTER_KEYS_DIR: '/nowhere',
    PUSHCLUSTER_ADMIN_PORT: '0',
    PUSHCLUSTER_UPSTREAM_BACKOFF_MS: '5',
    PUSHCLUSTER_UPSTREAM_MEMORY_BYTES_MAX: '17179869184',
    ...spec.env,
  };
  const settings = parseSettings(upstreamSettings, env, () => '');
  const { memoryBytes } = spec;
  const shared = { store, bus, keys, clock, log: silentLog, random: Math.random };
  const role = await startUpstream(settings, memoryBytes === undefined ? shared : { ...shared, memoryBytes });
  t.after(async () => {
    await role.stop();
    if (spec.bus === undefined) await bus.close();
    await store.close();
  });
  return { role, bus, store, ask: (method, path, body) => askAdmin(role.ports['admin']!, { method, path, body }) };
}

async function askAdmin(
  port: number,
  { method, path, body }: { method: string; path: string; body: unknown },
): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN_KEYS[0]!.secret}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get('content-type')?.includes('json') === true;
  return { status: answer.status, body: isJson ? JSON.parse(text) : text };
}

/** Asks until it is so; bounded. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; !(await isSo()); i++) {
    if (i > 1000) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
