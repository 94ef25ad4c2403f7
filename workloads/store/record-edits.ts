// Records that the store itself changes: what is left of a cancelled topic entry, and the new name of a re-driven delivery. Bytes that
// are not a record (tests) are taken as they are. Used by the SQLite store; the Lua of redis/scripts/ does the same.
import { encodeRecord, RECORD_DEFAULTS, RECORD_HEADER_BYTES } from '../protocol/record.ts';
import type { MessageId } from '../protocol/ids.ts';

const VERSION = 2;
const SATISFIED_BY_ANY = 2;
const TOMBSTONE = 8;
const KEPT_FLAGS = 1 | SATISFIED_BY_ANY;

function isRecord(bytes: Uint8Array): boolean {
  return bytes.length >= RECORD_HEADER_BYTES && bytes[0] === VERSION;
}

/** Whether one device's ack settles it for the account's other devices. */
export function isSatisfiedByAny(bytes: Uint8Array): boolean {
  return isRecord(bytes) && (bytes[47]! & SATISFIED_BY_ANY) !== 0;
}
export function isTombstone(bytes: Uint8Array): boolean {
  return isRecord(bytes) && (bytes[47]! & TOMBSTONE) !== 0;
}

/** Its header, marked, without attributes and body. */
export function tombstoneOf(
  bytes: Uint8Array,
  entry: { id: MessageId; atMs: number; expiresAtMs: number },
): Uint8Array {
  if (!isRecord(bytes)) {
    const { id, atMs: publishedAtMs, expiresAtMs } = entry;
    const empty = new Uint8Array(0);
    return encodeRecord({
      ...RECORD_DEFAULTS,
      id,
      publishedAtMs,
      expiresAtMs,
      content: 'bytes',
      attributes: empty,
      body: empty,
      tombstone: true,
    });
  }
  const stone = bytes.slice(0, RECORD_HEADER_BYTES);
  stone[44] = 0;
  stone[45] = 0;
  stone[47] = (stone[47]! & KEPT_FLAGS) | TOMBSTONE;
  return stone;
}

/** The same message under another id, with another expiry. */
export function renamed(bytes: Uint8Array, id: MessageId, expiresAtMs: number): Uint8Array {
  if (!isRecord(bytes)) return bytes;
  const copy = bytes.slice();
  new DataView(copy.buffer).setFloat64(10, expiresAtMs, true);
  for (let i = 0; i < 26; i++) copy[18 + i] = id.charCodeAt(i);
  return copy;
}
