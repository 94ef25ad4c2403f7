// The record: one message as the store keeps it and as links carry it. A gateway reads the fixed header and splices
// attributes and body into the client's codec without parsing them.
//
//   byte 0      version (1)
//   byte 1      content: 0 json, 1 text, 2 bytes
//   bytes 2–9   published at, ms since 1970, float64 little endian
//   bytes 10–17 expires at, same; 0 = never
//   bytes 18–43 message id, 26 ASCII characters
//   bytes 44–45 length of attributes, uint16 little endian
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
  /** json: a JSON text in UTF-8; text: UTF-8; bytes: anything. */
  readonly body: Uint8Array;
}

export const RECORD_HEADER_BYTES = 46;
const VERSION = 1;

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
  return {
    id: String.fromCharCode(...bytes.subarray(18, 44)) as MessageId,
    publishedAtMs: view.getFloat64(2, true),
    expiresAtMs: view.getFloat64(10, true),
    content,
    attributes: bytes.subarray(RECORD_HEADER_BYTES, attributesEnd),
    body: bytes.subarray(attributesEnd),
  };
}

/** The expiry of an encoded record without decoding the rest; 0 = never. */
export function recordExpiresAtMs(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getFloat64(10, true);
}
