// The JSON codec of subprotocol `pushcluster.v1.json`: client frames from text, server frames to text, and messages straight from
// their record, with attributes and body spliced in as they are (nobody between publisher and client parses a body).
// The gateway calls it for every frame; what it refuses is answered by gateway/dispatch.ts.
import { PARSERS } from './client-frames.ts';
import { InvalidFrameError, isCount, isObject, show } from './forms.ts';
import type { Row } from './forms.ts';
import type { ClientFrame, ServerFrame } from './frames.ts';
import type { MessageRecord } from './record.ts';
import type { StreamName } from './streams.ts';

// ---- client → gateway

/**
 * Text of one WebSocket message → frame. Unknown fields are ignored, unknown types are not.
 * Cost: one JSON.parse and O(positions). Throws InvalidFrameError that names the field.
 */
export function decodeClientFrame(text: string): ClientFrame {
  const row = parseObject(text);
  const parse = Object.hasOwn(PARSERS, String(row['type'])) ? PARSERS[row['type'] as ClientFrame['type']] : null;
  const id = isCount(row['id']) ? row['id'] : null;
  if (parse === null)
    throw new InvalidFrameError(`type: expected a frame that the protocol knows, got ${show(row['type'])}`, id);
  try {
    return parse(row);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new InvalidFrameError(error.message, id);
  }
}

// ---- gateway → client

/** Frame → text of one WebSocket message. Messages go through encodeMessage. */
export function encodeServerFrame(frame: ServerFrame): string {
  return JSON.stringify(frame);
}

/** Where a message stands in its stream, for one client. Live messages have offset 0. */
export interface MessagePlace {
  readonly stream: StreamName;
  readonly offset: number;
  readonly prev: number;
  /** Which delivery of it this is; the frame names it from 2 on. */
  readonly attempt?: number;
  /** The client is slow: leave the body out, as for records that say so themselves. Live messages always have theirs. */
  readonly idOnly?: boolean;
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** Record → bytes of the message frame. Cost: about a microsecond for a small message; the body is copied once. */
export function encodeMessage(record: MessageRecord, place: MessagePlace): Uint8Array {
  const { attributes } = record;
  const head = utf8.encode(headText(record, place));
  const withAttributes = attributes.length === 0 ? [head] : [head, ATTRIBUTES_KEY, attributes];
  if (isIdOnly(record, place)) return concat([...withAttributes, ID_ONLY]);
  return concat([...withAttributes, ENCODING_KEY[record.content], BODY_KEY, bodyBytes(record), CLOSE_BRACE]);
}

/** Record → bytes of the answer to `fetch`: the body as it is in the record. */
export function encodeFetched(id: number, record: MessageRecord): Uint8Array {
  const head = utf8.encode(`{"type":"fetched","id":${id}`);
  return concat([head, ENCODING_KEY[record.content], BODY_KEY, bodyBytes(record), CLOSE_BRACE]);
}

function isIdOnly(record: MessageRecord, place: MessagePlace): boolean {
  return place.offset > 0 && (record.idOnly || place.idOnly === true);
}

const ATTRIBUTES_KEY = utf8.encode(',"attributes":');
const ENCODING_KEY = {
  json: new Uint8Array(0),
  text: utf8.encode(',"encoding":"text"'),
  bytes: utf8.encode(',"encoding":"base64"'),
} as const;
const BODY_KEY = utf8.encode(',"body":');
const ID_ONLY = utf8.encode(',"idOnly":true}');
const CLOSE_BRACE = utf8.encode('}');

function concat(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function headText(record: MessageRecord, place: MessagePlace): string {
  const { stream, offset, prev, attempt = 1 } = place;
  const position = offset === 0 ? '' : `,"offset":${offset}${prev === offset - 1 ? '' : `,"prev":${prev}`}`;
  const again = attempt > 1 ? `,"attempt":${attempt}` : '';
  const later = record.journalled && offset === 0 ? ',"later":true' : '';
  return `{"type":"message","stream":"${stream}"${position},"id":"${record.id}","sentAtMs":${record.publishedAtMs}${again}${later}`;
}

function bodyBytes(record: MessageRecord): Uint8Array {
  return record.content === 'json' ? record.body : utf8.encode(bodyText(record));
}

function bodyText(record: MessageRecord): string {
  if (record.content === 'text') return JSON.stringify(text.decode(record.body));
  let binary = '';
  for (let i = 0; i < record.body.length; i += 4096)
    binary += String.fromCharCode(...record.body.subarray(i, i + 4096));
  return `"${btoa(binary)}"`;
}

function parseObject(json: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new InvalidFrameError('expected JSON');
  }
  if (isObject(value)) return value;
  throw new InvalidFrameError(`expected a JSON object, got ${show(value)}`);
}
