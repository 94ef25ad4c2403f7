// One push on the journal (R13): everything that is needed to store it later, as JSON. Pure. journal.ts publishes and reads them.
import { BUS_TOPICS } from '../../bus/port.ts';
import type { BusRecord } from '../../bus/port.ts';
import { parseAppId, parseMessageId } from '../../protocol/ids.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';
import { deviceStream, topicStream } from '../delivery/owners.ts';
import type { Push } from '../api/request.ts';

export interface JournalEntry {
  readonly app: AppId;
  readonly id: MessageId;
  /** When it was accepted, ms since 1970. */
  readonly atMs: number;
  readonly push: Push;
}

/** A record of the journal that is none: set aside. */
export class InvalidEntryError extends Error {
  readonly code = 'invalid-journal-entry';
}

const VERSION = 1;

/** Whether a push can be journalled: it names the one stream or account that it goes to now. Lists and schedules need the store. */
export function isJournallable(push: Push): boolean {
  const { kind } = push.target;
  return push.class === 'durable' && push.due === null && (kind === 'device' || kind === 'account' || kind === 'topic');
}

/** Records of one stream have one key, so that they are stored in their order. */
export function encodeEntry(entry: JournalEntry): BusRecord {
  const { app, id, atMs, push } = entry;
  const parts = { body: base64(push.body), attributes: base64(push.attributes) };
  return {
    topic: BUS_TOPICS.journal,
    key: streamOf(entry),
    headers: { app, id },
    value: Buffer.from(JSON.stringify({ version: VERSION, app, id, atMs, push: { ...push, ...parts } })),
  };
}

/** Throws InvalidEntryError. */
export function decodeEntry(value: Uint8Array): JournalEntry {
  try {
    const entry = JSON.parse(Buffer.from(value).toString()) as JournalEntry & {
      readonly version: number;
      readonly push: { readonly body: unknown; readonly attributes: unknown };
    };
    if (entry.version !== VERSION) throw new InvalidEntryError(`expected version ${VERSION}, got ${entry.version}`);
    const { body, attributes } = entry.push;
    const push: Push = { ...entry.push, body: bytes(body), attributes: bytes(attributes) };
    if (!isJournallable(push) || !Number.isFinite(entry.atMs)) throw new InvalidEntryError('expected a durable push');
    return { app: parseAppId(entry.app), id: parseMessageId(entry.id), atMs: entry.atMs, push };
  } catch (error) {
    if (error instanceof InvalidEntryError) throw error;
    throw new InvalidEntryError(`expected a push as JSON: ${String(error)}`, { cause: error });
  }
}

function streamOf({ app, push: { target } }: JournalEntry): string {
  switch (target.kind) {
    case 'device':
      return deviceStream(app, target.device);
    case 'topic':
      return topicStream(app, target.topic);
    case 'account':
      return `${app}/a/${target.account}`;
    default:
      throw new RangeError(`expected a device, an account or a topic, got ${target.kind}`);
  }
}
/** Whether a record's key is that of an account's pushes. */
export function isOfAccount(key: string): boolean {
  return key.startsWith('a/', key.indexOf('/') + 1);
}
function base64(value: Uint8Array): string {
  return Buffer.from(value).toString('base64');
}
function bytes(value: unknown): Uint8Array {
  if (typeof value !== 'string') throw new InvalidEntryError('expected base64');
  return Buffer.from(value, 'base64');
}
