// The JSON codec of subprotocol `pushcluster.v1.json`: client frames from text, server frames to text, and messages straight from
// their record, with attributes and body spliced in as they are (nobody between publisher and client parses a body).
// The gateway calls it for every frame; what it refuses is answered by gateway/dispatch.ts.
import { parseTopicName } from './ids.ts';
import type { Epoch } from './ids.ts';
import type { AckFrame, ClientFrame, HelloFrame, ServerFrame, TopicRequest, UpstreamFrame } from './frames.ts';
import { LIMITS } from './limits.ts';
import type { MessageRecord } from './record.ts';
import { parseStreamName } from './streams.ts';
import type { Position, StreamName } from './streams.ts';

/** A client frame that breaks the protocol. `id` is the frame's where it had a usable one: then an error frame answers it. */
export class InvalidFrameError extends Error {
  readonly code = 'invalid-frame';
  readonly id: number | null;
  constructor(message: string, id: number | null = null) {
    super(message);
    this.id = id;
  }
}

const AGENT_CHARS_MAX = 128;
const EPOCH_CHARS_MAX = 128;
const KIND_CHARS_MAX = 64;
const KEY_CHARS_MAX = 128;

type Row = Readonly<Record<string, unknown>>;

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
    throw new InvalidFrameError(`type: expected ${Object.keys(PARSERS).join(', ')}, got ${show(row['type'])}`, id);
  try {
    return parse(row);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new InvalidFrameError(error.message, id);
  }
}

const PARSERS: { readonly [T in ClientFrame['type']]: (row: Row) => Extract<ClientFrame, { type: T }> } = {
  hello: parseHello,
  ack: parseAck,
  subscribe: (row) => ({ type: 'subscribe', id: countAt(row['id'], 'id'), topics: parseTopicRequests(row['topics']) }),
  unsubscribe: (row) => ({
    type: 'unsubscribe',
    id: countAt(row['id'], 'id'),
    topics: boundedList(row['topics'], 'topics').map((topic, i) => parseTopicName(topic, `topics[${i}]`)),
  }),
  upstream: parseUpstream,
  ping: () => ({ type: 'ping' }),
  bye: () => ({ type: 'bye' }),
};

function parseHello(row: Row): HelloFrame {
  const { token, ticket, positions, agent } = row;
  return {
    type: 'hello',
    version: countAt(row['version'], 'version'),
    ...(token === undefined ? {} : { token: textAt(token, 'token', LIMITS.credentialCharsMax) }),
    ...(ticket === undefined ? {} : { ticket: textAt(ticket, 'ticket', LIMITS.credentialCharsMax) }),
    ...(positions === undefined ? {} : { positions: boundedList(positions, 'positions').map(parsePosition) }),
    ...(agent === undefined ? {} : { agent: textAt(agent, 'agent', AGENT_CHARS_MAX) }),
  };
}

function parsePosition(value: unknown, i: number): Position {
  const at = `positions[${i}]`;
  const row = objectAt(value, at);
  return {
    stream: parseStreamName(row['stream'], `${at}.stream`),
    epoch: epochAt(row['epoch'], `${at}.epoch`),
    offset: countAt(row['offset'], `${at}.offset`),
  };
}

function parseAck(row: Row): AckFrame {
  const positions = boundedList(row['positions'], 'positions').map((value, i) => {
    const at = `positions[${i}]`;
    const entry = objectAt(value, at);
    const stream: StreamName = parseStreamName(entry['stream'], `${at}.stream`);
    const offset = countAt(entry['offset'], `${at}.offset`);
    return entry['epoch'] === undefined
      ? { stream, offset }
      : { stream, offset, epoch: epochAt(entry['epoch'], `${at}.epoch`) };
  });
  return { type: 'ack', positions };
}

function parseTopicRequests(value: unknown): TopicRequest[] {
  return boundedList(value, 'topics').map((item, i) => {
    const row = objectAt(item, `topics[${i}]`);
    const topic = parseTopicName(row['topic'], `topics[${i}].topic`);
    if (row['epoch'] === undefined && row['offset'] === undefined) return { topic };
    const epoch = epochAt(row['epoch'], `topics[${i}].epoch`);
    return { topic, epoch, offset: countAt(row['offset'], `topics[${i}].offset`) };
  });
}

function parseUpstream(row: Row): UpstreamFrame {
  if (row['body'] === undefined) throw new InvalidFrameError('body: expected a value, got nothing');
  return {
    type: 'upstream',
    id: countAt(row['id'], 'id'),
    kind: textAt(row['kind'], 'kind', KIND_CHARS_MAX),
    key: textAt(row['key'], 'key', KEY_CHARS_MAX),
    body: row['body'],
  };
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
}

const utf8 = new TextEncoder();
const text = new TextDecoder();
const CLOSE_BRACE = 125;

/** Record → bytes of the message frame. Cost: about a microsecond for a small message; the body is copied once. */
export function encodeMessage(record: MessageRecord, place: MessagePlace): Uint8Array {
  const body = record.content === 'json' ? record.body : utf8.encode(bodyText(record));
  const { attributes } = record;
  const hasAttributes = attributes.length > 0;
  const head = utf8.encode(headText(record, place) + (hasAttributes ? ',"attributes":' : ',"body":'));
  const middle = hasAttributes ? BODY_KEY : NOTHING;
  const out = new Uint8Array(head.length + attributes.length + middle.length + body.length + 1);
  let at = 0;
  for (const part of [head, attributes, middle, body]) {
    out.set(part, at);
    at += part.length;
  }
  out[at] = CLOSE_BRACE;
  return out;
}

const BODY_KEY = utf8.encode(',"body":');
const NOTHING = new Uint8Array(0);

function headText(record: MessageRecord, place: MessagePlace): string {
  const { stream, offset, prev } = place;
  const position = offset === 0 ? '' : `,"offset":${offset}${prev === offset - 1 ? '' : `,"prev":${prev}`}`;
  const encoding = record.content === 'json' ? '' : `,"encoding":"${record.content === 'text' ? 'text' : 'base64'}"`;
  return `{"type":"message","stream":"${stream}"${position},"id":"${record.id}","sentAtMs":${record.publishedAtMs}${encoding}`;
}

function bodyText(record: MessageRecord): string {
  if (record.content === 'text') return JSON.stringify(text.decode(record.body));
  let binary = '';
  for (let i = 0; i < record.body.length; i += 4096)
    binary += String.fromCharCode(...record.body.subarray(i, i + 4096));
  return `"${btoa(binary)}"`;
}

// ---- forms

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
function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function objectAt(value: unknown, at: string): Row {
  if (isObject(value)) return value;
  throw new InvalidFrameError(`${at}: expected an object, got ${show(value)}`);
}
function boundedList(value: unknown, at: string): readonly unknown[] {
  const max = LIMITS.positionsPerFrameMax;
  if (Array.isArray(value) && value.length <= max) return value;
  const got = Array.isArray(value) ? String(value.length) : show(value);
  throw new InvalidFrameError(`${at}: expected a list of at most ${max}, got ${got}`);
}
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
function countAt(value: unknown, at: string): number {
  if (isCount(value)) return value;
  throw new InvalidFrameError(`${at}: expected a whole number of at least 0, got ${show(value)}`);
}
function textAt(value: unknown, at: string, charsMax: number): string {
  if (typeof value === 'string' && value.length >= 1 && value.length <= charsMax) return value;
  const got = typeof value === 'string' ? `${value.length} characters` : show(value);
  throw new InvalidFrameError(`${at}: expected a text of 1–${charsMax} characters, got ${got}`);
}
function epochAt(value: unknown, at: string): Epoch {
  return textAt(value, at, EPOCH_CHARS_MAX) as Epoch;
}
function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object';
}
