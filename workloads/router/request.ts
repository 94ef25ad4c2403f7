// Unknown JSON → a push that can be stored or sent, or a RefusedError that names the field. Pure. api.ts parses with it; push.ts takes
// what comes out.
import { hash } from 'node:crypto';
import { Ajv } from 'ajv';
import { RefusedError } from '../protocol/codes.ts';
import { InvalidNameError, TOPIC_ALL, parseAccountId, parseDeviceId, parseTopicName } from '../protocol/ids.ts';
import type { AccountId, DeviceId, TopicName } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Content } from '../protocol/record.ts';
import { LANE_DEFAULT } from '../protocol/streams.ts';
import type { Lane } from '../protocol/streams.ts';
import { BODY_DEPTH_MAX, isDeeperThan } from './exact-json.ts';
import { describeFault } from './schema-faults.ts';
import { BATCH_MESSAGES_MAX, messageSchema } from './schemas.ts';

export type Target =
  | { readonly kind: 'device'; readonly device: DeviceId }
  | { readonly kind: 'account'; readonly account: AccountId }
  | { readonly kind: 'topic'; readonly topic: TopicName };

export interface Push {
  readonly target: Target;
  readonly class: 'durable' | 'live';
  readonly lane: Lane;
  /** Null: the app's, or the default. */
  readonly ttlMs: number | null;
  readonly content: Content;
  readonly body: Uint8Array;
  /** A JSON object as text; empty when there are none. */
  readonly attributes: Uint8Array;
  readonly key: string | null;
  /** Names this request among those of one key; empty without a key. */
  readonly fingerprint: string;
}

interface MessageJson {
  readonly target: { readonly device?: string; readonly account?: string; readonly topic?: string };
  readonly class?: 'durable' | 'live';
  readonly lane?: Lane;
  readonly ttlMs?: number;
  readonly body?: unknown;
  readonly text?: string;
  readonly bytes?: string;
  readonly attributes?: object;
  readonly idempotencyKey?: string;
}

const ajv = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true, ownProperties: true });
const isMessage = ajv.compile<MessageJson>(messageSchema);
const CONTENTS = ['body', 'text', 'bytes'] as const;
const NOTHING = new Uint8Array(0);
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * One message.
 * @param options.at where it stands in the request (`messages[3]`), empty when it is the whole
 * @param options.headerKey the Idempotency-Key header
 */
export function parsePush(value: unknown, options: { at: string; headerKey: string | null }): Push {
  const { at } = options;
  if (!isMessage(value)) throw faultOf(value, at);
  const field = (name: string): string => (at === '' ? name : `${at}.${name}`);
  if (CONTENTS.filter((name) => value[name] !== undefined).length !== 1)
    throw invalid(field('body'), 'expected exactly one of body, text and bytes');
  const target = parseTarget(value.target, field('target'));
  const kind = value.class ?? 'durable';
  const key = keyOf(value, options.headerKey, field('idempotencyKey'));
  if (value.lane !== undefined && target.kind === 'topic')
    throw invalid(field('lane'), 'expected only with device or account; a topic has one stream');
  if (kind === 'live' && key !== null)
    throw invalid(field('idempotencyKey'), 'expected only with class durable; live messages are not stored');
  const { content, body } = parseContent(value, field);
  const attributes = value.attributes === undefined ? NOTHING : Buffer.from(JSON.stringify(value.attributes));
  if (attributes.length > LIMITS.attributesBytesMax)
    throw tooLarge(field('attributes'), LIMITS.attributesBytesMax, attributes.length);
  const push = { target, class: kind, lane: value.lane ?? LANE_DEFAULT, ttlMs: value.ttlMs ?? null, content, body };
  const fingerprint = key === null ? '' : fingerprintOf({ ...push, attributes, lane: value.lane ?? null });
  return { ...push, attributes, key, fingerprint };
}

/** The messages of a batch, not yet looked into; null when the value is not a batch. Throws RefusedError. */
export function batchOf(value: unknown): readonly unknown[] | null {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'messages')) return null;
  const { messages, ...others } = value as { messages: unknown };
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw invalid(unknown, 'is not a known field beside messages');
  if (!Array.isArray(messages)) throw invalid('messages', 'expected a list');
  if (messages.length === 0 || messages.length > BATCH_MESSAGES_MAX)
    throw invalid('messages', `expected 1–${BATCH_MESSAGES_MAX} messages, got ${messages.length}`);
  return messages;
}

/** The Idempotency-Key header; null without one. Throws RefusedError. */
export function headerKeyOf(header: string | readonly string[] | undefined): string | null {
  if (header === undefined) return null;
  const length = LIMITS.idempotencyKeyCharsMax;
  if (typeof header === 'string' && header.length >= 1 && header.length <= length) return header;
  throw invalid('Idempotency-Key', `expected 1–${length} characters`);
}

function faultOf(value: unknown, at: string): RefusedError {
  if (value === undefined) return invalid('body', 'expected a JSON object, got nothing');
  const errors = isMessage.errors ?? [];
  // Of a rule about names (propertyNames) the last error is the rule's own.
  const { field, message } = describeFault(errors[errors.length - 1]!, value, at);
  return new RefusedError('invalid-request', message, { field: field === '' ? 'body' : field });
}

function parseTarget(target: MessageJson['target'], at: string): Target {
  try {
    if (target.device !== undefined) return { kind: 'device', device: parseDeviceId(target.device, `${at}.device`) };
    if (target.account !== undefined)
      return { kind: 'account', account: parseAccountId(target.account, `${at}.account`) };
    if (target.topic !== undefined) return { kind: 'topic', topic: parseTopicName(target.topic, `${at}.topic`) };
    return { kind: 'topic', topic: TOPIC_ALL };
  } catch (error) {
    if (error instanceof InvalidNameError)
      throw new RefusedError('invalid-request', error.message, { field: error.field, cause: error });
    throw error;
  }
}

function keyOf(message: MessageJson, headerKey: string | null, field: string): string | null {
  const own = message.idempotencyKey ?? null;
  if (own !== null && headerKey !== null && own !== headerKey)
    throw invalid(field, 'expected the same key as the header Idempotency-Key, or one of the two');
  return own ?? headerKey;
}

function parseContent(message: MessageJson, field: (name: string) => string): { content: Content; body: Uint8Array } {
  if (message.text !== undefined) return bounded('text', Buffer.from(message.text), field('text'));
  if (message.bytes !== undefined) {
    const { bytes } = message;
    if (bytes.length % 4 !== 0 || !BASE64.test(bytes))
      throw invalid(field('bytes'), 'expected base64 with its padding');
    return bounded('bytes', Buffer.from(bytes, 'base64'), field('bytes'));
  }
  if (isDeeperThan(message.body, BODY_DEPTH_MAX))
    throw invalid(field('body'), `expected at most ${BODY_DEPTH_MAX} levels of lists and objects`);
  return bounded('json', Buffer.from(JSON.stringify(message.body)), field('body'));
}

function bounded(content: Content, body: Buffer, field: string): { content: Content; body: Uint8Array } {
  if (body.length <= LIMITS.bodyBytesMax) return { content, body };
  throw tooLarge(field, LIMITS.bodyBytesMax, body.length);
}

/** 128 bits over everything that makes two requests the same message. */
function fingerprintOf(message: {
  readonly target: Target;
  readonly class: string;
  readonly lane: Lane | null;
  readonly ttlMs: number | null;
  readonly content: Content;
  readonly body: Uint8Array;
  readonly attributes: Uint8Array;
}): string {
  const { body, attributes, ...rest } = message;
  const head = Buffer.from(`${JSON.stringify(rest)}\n${attributes.length}\n`);
  return hash('sha256', Buffer.concat([head, attributes, body]), 'base64url').slice(0, 22);
}

function invalid(field: string, problem: string): RefusedError {
  return new RefusedError('invalid-request', `${field}: ${problem}`, { field });
}
function tooLarge(field: string, most: number, got: number): RefusedError {
  return new RefusedError('too-large', `${field}: expected at most ${most} bytes, got ${got}`, { field });
}
