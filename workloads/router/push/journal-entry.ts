// One push on the journal (R13): everything that is needed to store it later, as JSON. Pure. journal.ts publishes and reads them.
import { BUS_TOPICS } from '../../bus/port.ts';
import type { BusRecord } from '../../bus/port.ts';
import { countAt, numberAt, objectAt, oneOfAt, show, textAt } from '../../protocol/forms.ts';
import type { Row } from '../../protocol/forms.ts';
import { parseAccountId, parseAppId, parseDeviceId, parseMessageId, parseTopicName } from '../../protocol/ids.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';
import { CONTENTS } from '../../protocol/record.ts';
import { LANES } from '../../protocol/streams.ts';
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
/** Of keys and fingerprints; their own bounds are those of requests. */
const TEXT_CHARS_MAX = 512;

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

/** Every field is looked at: what only fails when it is stored would come again for ever. Throws InvalidEntryError. */
export function decodeEntry(value: Uint8Array): JournalEntry {
  try {
    const { version, app, id, atMs, push } = objectAt(JSON.parse(Buffer.from(value).toString()), 'entry');
    if (version !== VERSION) throw new InvalidEntryError(`expected version ${VERSION}, got ${show(version)}`);
    const decoded = parsePushRow(objectAt(push, 'push'));
    if (!isJournallable(decoded)) throw new InvalidEntryError('expected a durable push');
    return { app: parseAppId(app), id: parseMessageId(id), atMs: countAt(atMs, 'atMs'), push: decoded };
  } catch (error) {
    if (error instanceof InvalidEntryError) throw error;
    throw new InvalidEntryError(`expected a push as JSON: ${String(error)}`, { cause: error });
  }
}

function parsePushRow(row: Row): Push {
  const { lane, ttlMs, content, level, collapseKey, due, key, fingerprint } = row;
  const deliver = objectAt(row['deliver'], 'deliver');
  return {
    target: parseTargetRow(objectAt(row['target'], 'target')),
    class: oneOfAt(row['class'], 'class', ['durable', 'live']),
    lane: oneOfAt(lane, 'lane', LANES),
    ttlMs: ttlMs === null ? null : countAt(ttlMs, 'ttlMs'),
    content: oneOfAt(content, 'content', CONTENTS),
    body: bytes(row['body']),
    attributes: bytes(row['attributes']),
    level: level === null ? null : numberAt(level, 'level', [0, 9]),
    deliver: {
      attemptsMax: numberAt(deliver['attemptsMax'], 'attemptsMax', [0, 0xff]),
      ackTimeoutMs: numberAt(deliver['ackTimeoutMs'], 'ackTimeoutMs', [0, 0xffff_ffff]),
      idOnly: deliver['idOnly'] === true,
      satisfiedByAny: deliver['satisfiedByAny'] === true,
    },
    collapseKey: collapseKey === null ? null : textAt(collapseKey, 'collapseKey', TEXT_CHARS_MAX),
    due: due === null ? null : { atMs: 0 }, // not journallable
    key: key === null ? null : textAt(key, 'key', TEXT_CHARS_MAX),
    fingerprint: key === null ? '' : textAt(fingerprint, 'fingerprint', TEXT_CHARS_MAX),
  };
}

function parseTargetRow({ kind, device, account, topic }: Row): Push['target'] {
  switch (oneOfAt(kind, 'target.kind', ['device', 'account', 'topic'])) {
    case 'device':
      return { kind: 'device', device: parseDeviceId(device) };
    case 'account':
      return { kind: 'account', account: parseAccountId(account) };
    case 'topic':
      return { kind: 'topic', topic: parseTopicName(topic, 'topic', true) };
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
