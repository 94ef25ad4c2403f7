// What the contract suite of the store port needs from an implementation, and its builders: names, appends, sessions. Used by
// every section of the suite (contract-*.ts) and by the test files of the implementations.
import { randomBytes } from 'node:crypto';
import type {
  Append,
  AppendOutcome,
  CursorMove,
  EntrySettle,
  OpenedSession,
  OpenSession,
  RegisterOutcome,
  Settle,
  SettleOutcome,
  Store,
  StreamRef,
  Subscription,
} from './port.ts';
import type { StoreLimits } from './store-limits.ts';
import { messageIdAt } from '../protocol/ids.ts';
import type { AccountId, AppId, BootId, DeviceId, Epoch, GatewayName, MessageId, TopicName } from '../protocol/ids.ts';
import { encodeRecord, RECORD_DEFAULTS } from '../protocol/record.ts';
import type { MessageRecord } from '../protocol/record.ts';
import type { Lane } from '../protocol/streams.ts';

/** A store opened empty for one test. */
export interface StoreUnderTest {
  /** The store now; another object after a crash. */
  readonly store: Store;
  /** Moves the store's time: a manual clock is moved, a real one waited for (keep it short). */
  readonly advance: (ms: number) => Promise<void>;
  /** The store's time. */
  readonly nowMs: () => number;
  /** kill -9 and start again. Only where what was acknowledged is durable. */
  readonly crash?: () => Promise<void>;
  /** Remembers the data as they are, for `fallBack`. */
  readonly checkpoint?: () => Promise<void>;
  /** Goes back to the checkpoint: what came after it is lost, and the store knows it (another life). */
  readonly fallBack?: () => Promise<void>;
  readonly close: () => Promise<void>;
}
export interface StoreSubject {
  readonly name: string;
  /** A reason why it cannot run here, with the command that helps; null: it can. */
  readonly skip: string | null;
  /** What its StoreUnderTest has; tests that need another are not part of its suite. */
  readonly hooks: readonly ('crash' | 'checkpoint')[];
  open(limits?: Partial<StoreLimits>): Promise<StoreUnderTest>;
}

/** Opens, runs, closes. */
export async function withStore(
  subject: StoreSubject,
  limits: Partial<StoreLimits>,
  run: (t: StoreUnderTest) => Promise<void>,
): Promise<void> {
  const under = await subject.open(limits);
  try {
    await run(under);
  } finally {
    await under.close();
  }
}

export const APP = 'shop' as AppId;
export const account = (name: string): AccountId => name as AccountId;
export const device = (name: string): DeviceId => name as DeviceId;
export const topicName = (name: string): TopicName => name as TopicName;
/** A subscription without a filter. */
export const hear = (name: string): Subscription => ({ topic: topicName(name), filter: null });
export const gateway = (name: string): GatewayName => name as GatewayName;
export const boot = (name: string): BootId => name as BootId;

export function lane(name: string, lane: Lane = 'normal'): StreamRef {
  return { app: APP, kind: 'device', device: device(name), lane };
}
export function topic(name: string): StreamRef {
  return { app: APP, kind: 'topic', topic: topicName(name) };
}

let ids = 0;
/** A new message id. */
export function anId(): MessageId {
  ids++;
  return messageIdAt(1_800_000_000_000 + ids, randomBytes(10));
}

/** An append of `text` (or bytes), never expiring unless told. */
export function anAppend(
  stream: StreamRef,
  record: string | Uint8Array,
  more: { id?: MessageId; expiresAtMs?: number; overflow?: NonNullable<Append['overflow']>; collapseKey?: string } = {},
): Append {
  const { id, expiresAtMs = 0, ...options } = more;
  return {
    stream,
    messageId: id ?? anId(),
    record: typeof record === 'string' ? Buffer.from(record) : record,
    expiresAtMs,
    ...options,
  };
}

/** A whole record, as roles write them; its body is the text. */
export function aRecord(text: string, more: Partial<MessageRecord> = {}): Uint8Array {
  return encodeRecord({
    ...RECORD_DEFAULTS,
    id: more.id ?? anId(),
    publishedAtMs: 1_800_000_000_000,
    expiresAtMs: 0,
    content: 'text',
    attributes: Buffer.from('{"type":"order"}'),
    body: Buffer.from(text),
    ...more,
  });
}
/** The append of a whole record under its id. */
export function aRecordAppend(stream: StreamRef, text: string, more: Partial<MessageRecord> = {}): Append {
  const id = more.id ?? anId();
  return anAppend(stream, aRecord(text, { ...more, id }), { id, expiresAtMs: more.expiresAtMs ?? 0 });
}

/** Appends texts to one stream and answers the outcomes. */
export function appendAll(
  store: Store,
  stream: StreamRef,
  texts: readonly string[],
): Promise<readonly AppendOutcome[]> {
  return store.append(texts.map((text) => anAppend(stream, text)));
}

/** The outcome of an append that must have been taken. */
export function appended(outcome: AppendOutcome | undefined): Extract<AppendOutcome, { kind: 'appended' }> {
  if (outcome?.kind !== 'appended') throw new Error(`expected appended, got ${JSON.stringify(outcome)}`);
  return outcome;
}

let tokens = 0;
export function register(
  store: Store,
  name: string,
  more: { account?: string; tokenId?: string; expiresAtMs?: number; max?: number } = {},
): Promise<RegisterOutcome> {
  tokens++;
  return store.registerDevice({
    app: APP,
    account: account(more.account ?? 'ann'),
    device: device(name),
    tokenId: more.tokenId ?? `token-${tokens}`,
    tokenExpiresAtMs: more.expiresAtMs ?? 4_000_000_000_000,
    accountDevicesMax: more.max ?? 64,
  });
}

export function anOpenSession(name: string, more: Partial<OpenSession> = {}): OpenSession {
  return {
    app: APP,
    account: account('ann'),
    device: device(name),
    expectGeneration: null,
    permittedAtMs: 3_900_000_000_000,
    gateway: gateway('gw-0'),
    bootId: boot('boot-a'),
    ...more,
  };
}
/** The outcome of an openSession that must have opened. */
export function opened(outcome: OpenedSession): Extract<OpenedSession, { kind: 'opened' }> {
  if (outcome.kind !== 'opened') throw new Error(`expected opened, got ${outcome.kind}`);
  return outcome;
}

/** A cumulative ack of a device's normal lane, from gateway gw-0. */
export function anAck(
  name: string,
  at: { epoch: Epoch; offset: number; generation: number; lane?: Lane; gateway?: GatewayName },
): Settle {
  return { app: APP, device: device(name), lane: 'normal', gateway: gateway('gw-0'), ...at };
}
/** The end of one entry of a device's normal lane, asked by nobody's session. */
export function anEnd(
  name: string,
  entry: EntrySettle['entry'],
  state: EntrySettle['state'],
  more: Partial<EntrySettle> = {},
): EntrySettle {
  return { app: APP, device: device(name), lane: 'normal', entry, state, generation: null, ...more };
}
/** What a device's normal lane holds, as texts. */
export async function held(store: Store, stream: StreamRef): Promise<string[]> {
  const [read] = await store.read([{ stream, after: null, entriesMax: 500 }]);
  return texts(read!.entries);
}
/** What became of messages of a device's normal lane, without times and places. */
export async function statesOf(store: Store, name: string, ids: readonly MessageId[]): Promise<string[]> {
  const asked = ids.map((messageId) => ({ device: device(name), lane: 'normal' as const, messageId }));
  return (await store.deliveryStates(APP, asked)).map(({ state }) => state);
}
/** Which settles counted. */
export function counted(outcomes: readonly SettleOutcome[]): boolean[] {
  return outcomes.map((outcome) => outcome.counted);
}

/** A cursor's move within `epoch`, everything acked unless told. */
export function aMove(
  topic: string,
  epoch: Epoch | null,
  move: Partial<CursorMove> & { readonly offset: number },
): CursorMove {
  return {
    topic: topicName(topic),
    epoch,
    from: 0,
    filtered: 0,
    expired: 0,
    cancelled: 0,
    dead: 0,
    attempts: 0,
    ...move,
  };
}

export function texts(entries: readonly { record: Uint8Array }[]): string[] {
  return entries.map((entry) => Buffer.from(entry.record).toString());
}
