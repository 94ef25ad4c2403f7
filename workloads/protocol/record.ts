// The record: one message as the store keeps it and as links carry it. A gateway reads the fixed header and splices
// attributes and body into the client's codec without parsing them.
//
//   byte 0      version (2)
//   byte 1      content: 0 json, 1 text, 2 bytes
//   bytes 2–9   published at, ms since 1970, float64 little endian
//   bytes 10–17 expires at, same; 0 = never
//   bytes 18–43 message id, 26 ASCII characters
//   bytes 44–45 length of attributes, uint16 little endian
//   byte 46     level, 0–9; 255 = none
//   byte 47     flags: 1 id-only, 2 satisfied by any, 4 body elsewhere, 8 tombstone, 16 journalled, 32 collapses
//   bytes 48–49 attempts at most, uint16; 0 = the gateway's default
//   bytes 50–53 ack timeout, ms, uint32; 0 = the gateway's default
//   then        attributes: a JSON object's text, or nothing; then the body
import type { MessageId } from './ids.ts';

export const CONTENTS = ['json', 'text', 'bytes'] as const;
export type Content = (typeof CONTENTS)[number];

export interface MessageRecord {
  readonly id: MessageId;
  readonly publishedAtMs: number;
  /** 0 = never. */
  readonly expiresAtMs: number;
  readonly content: Content;
  /** A JSON object as UTF-8 text (business type, level, fields); empty when there are none. At most 65,535 bytes. */
  readonly attributes: Uint8Array;
  /** json: a JSON text in UTF-8; text: UTF-8; bytes: anything. Empty while it is elsewhere. */
  readonly body: Uint8Array;
  /** How important, 0–9; null: not said. */
  readonly level: number | null;
  /** Deliveries before it is dead-lettered; 0: the gateway's default. At most 65,535. */
  readonly attemptsMax: number;
  /** How long a delivery waits for its ack, ms; 0: the gateway's default. */
  readonly ackTimeoutMs: number;
  /** The client is given the id and asks for the body. */
  readonly idOnly: boolean;
  /** One device's ack settles those of the account's other devices. */
  readonly satisfiedByAny: boolean;
  /** The body is kept once with the message (R6): the store's `bodies` has it. */
  readonly bodyElsewhere: boolean;
  /** What is left of a cancelled or collapsed topic message: its place. */
  readonly tombstone: boolean;
  /** Delivered without a position while the store is away; the stream brings it again (R13). The router says so on its way out. */
  readonly journalled: boolean;
  /** It has a collapse key: a later message takes its place while nobody has acked it. */
  readonly collapses: boolean;
}

/** What most messages have: nothing said. */
export const RECORD_DEFAULTS = {
  level: null,
  attemptsMax: 0,
  ackTimeoutMs: 0,
  idOnly: false,
  satisfiedByAny: false,
  bodyElsewhere: false,
  tombstone: false,
  journalled: false,
  collapses: false,
} as const;

export const RECORD_HEADER_BYTES = 54;
const VERSION = 2;
const LEVEL_NONE = 255;
const FLAG = { idOnly: 1, satisfiedByAny: 2, bodyElsewhere: 4, tombstone: 8, journalled: 16, collapses: 32 } as const;

/** A record that is not ours: wrong version or cut short. Readers drop and count it. */
export class InvalidRecordError extends Error {
  readonly code = 'invalid-record';
}

/** Encodes; cost: one allocation and two copies. */
export function encodeRecord(message: MessageRecord): Uint8Array {
  const { attributes, body } = message;
  const out = new Uint8Array(RECORD_HEADER_BYTES + attributes.length + body.length);
  const view = new DataView(out.buffer);
  out[0] = VERSION;
  out[1] = CONTENTS.indexOf(message.content);
  view.setFloat64(2, message.publishedAtMs, true);
  view.setFloat64(10, message.expiresAtMs, true);
  for (let i = 0; i < 26; i++) out[18 + i] = message.id.charCodeAt(i);
  view.setUint16(44, attributes.length, true);
  out[46] = message.level ?? LEVEL_NONE;
  out[47] =
    (message.idOnly ? FLAG.idOnly : 0) |
    (message.satisfiedByAny ? FLAG.satisfiedByAny : 0) |
    (message.bodyElsewhere ? FLAG.bodyElsewhere : 0) |
    (message.tombstone ? FLAG.tombstone : 0) |
    (message.journalled ? FLAG.journalled : 0) |
    (message.collapses ? FLAG.collapses : 0);
  view.setUint16(48, message.attemptsMax, true);
  view.setUint32(50, message.ackTimeoutMs, true);
  out.set(attributes, RECORD_HEADER_BYTES);
  out.set(body, RECORD_HEADER_BYTES + attributes.length);
  return out;
}

/** Decodes without copying: attributes and body are views into `bytes`. Throws InvalidRecordError. */
export function decodeRecord(bytes: Uint8Array): MessageRecord {
  if (bytes.length < RECORD_HEADER_BYTES)
    throw new InvalidRecordError(`expected at least ${RECORD_HEADER_BYTES} bytes, got ${bytes.length}`);
  if (bytes[0] !== VERSION) throw new InvalidRecordError(`expected version ${VERSION}, got ${bytes[0]}`);
  const content = CONTENTS[bytes[1]!];
  if (content === undefined) throw new InvalidRecordError(`expected content 0–2, got ${bytes[1]}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributesEnd = RECORD_HEADER_BYTES + view.getUint16(44, true);
  if (attributesEnd > bytes.length) throw new InvalidRecordError('attributes run past the end');
  const flags = bytes[47]!;
  return {
    id: recordMessageId(bytes),
    publishedAtMs: view.getFloat64(2, true),
    expiresAtMs: view.getFloat64(10, true),
    content,
    attributes: bytes.subarray(RECORD_HEADER_BYTES, attributesEnd),
    body: bytes.subarray(attributesEnd),
    level: bytes[46] === LEVEL_NONE ? null : bytes[46]!,
    attemptsMax: view.getUint16(48, true),
    ackTimeoutMs: view.getUint32(50, true),
    idOnly: (flags & FLAG.idOnly) !== 0,
    satisfiedByAny: (flags & FLAG.satisfiedByAny) !== 0,
    bodyElsewhere: (flags & FLAG.bodyElsewhere) !== 0,
    tombstone: (flags & FLAG.tombstone) !== 0,
    journalled: (flags & FLAG.journalled) !== 0,
    collapses: (flags & FLAG.collapses) !== 0,
  };
}

/** The message id of an encoded record without decoding the rest. */
export function recordMessageId(bytes: Uint8Array): MessageId {
  return String.fromCharCode(...bytes.subarray(18, 44)) as MessageId;
}

/** The expiry of an encoded record without decoding the rest; 0 = never. */
export function recordExpiresAtMs(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getFloat64(10, true);
}

/** How attributes begin that carry a conflation key: the router writes it first, so that nobody has to parse JSON to find none. */
const CONFLATION_PREFIX = '{"conflationKey":"';

/**
 * The conflation key of a live message: of one key of a stream a slow client gets the newest. Null: it has none. Senders cannot
 * write it into attributes themselves. Cost: one byte compared where there is none.
 * @param attributes as of decodeRecord
 */
export function conflationKeyOf(attributes: Uint8Array): string | null {
  if (attributes.length <= CONFLATION_PREFIX.length) return null;
  for (let i = 2; i < CONFLATION_PREFIX.length; i++) if (attributes[i] !== CONFLATION_PREFIX.charCodeAt(i)) return null;
  const { conflationKey } = JSON.parse(new TextDecoder().decode(attributes)) as { conflationKey: string };
  return conflationKey;
}

/** The level of an encoded record without decoding the rest; null: not said. */
export function recordLevel(bytes: Uint8Array): number | null {
  const level = bytes[46]!;
  return level === LEVEL_NONE ? null : level;
}

/** Whether an encoded record was taken in while the store was away, without decoding the rest. */
export function isJournalled(bytes: Uint8Array): boolean {
  return (bytes[47]! & FLAG.journalled) !== 0;
}

/** Whether an encoded record is what is left of a cancelled topic message, without decoding the rest. */
export function isTombstone(bytes: Uint8Array): boolean {
  return (bytes[47]! & FLAG.tombstone) !== 0;
}

/** The same record, marked as taken in while the store was away. Cost: one copy. */
export function markJournalled(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  out[47]! |= FLAG.journalled;
  return out;
}

/** Whether the body is to be filled in by the store's `bodies`, without decoding the rest. */
export function isBodyElsewhere(bytes: Uint8Array): boolean {
  return (bytes[47]! & FLAG.bodyElsewhere) !== 0;
}

/**
 * The record of a stream with the body of its message (R6): header and attributes are the stream's. Cost: one allocation and two copies.
 * @param whole what the store's `bodies` answered; throws InvalidRecordError when that is none
 */
export function withBody(record: Uint8Array, whole: Uint8Array): Uint8Array {
  return encodeRecord({ ...decodeRecord(record), body: decodeRecord(whole).body, bodyElsewhere: false });
}
