// Unknown JSON → a push that can be stored or sent, or a RefusedError that names the field. Pure. commands/push.ts parses with it; push.ts
// takes what comes out. request-target.ts and request-content.ts do their parts.
import { hash } from 'node:crypto';
import { Ajv } from 'ajv';
import { RefusedError } from '../../protocol/codes.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Content } from '../../protocol/record.ts';
import { LANE_DEFAULT } from '../../protocol/streams.ts';
import type { Lane } from '../../protocol/streams.ts';
import { assertWellFormed, parseAttributes, parseContent } from './request-content.ts';
import type { ContentJson, Origin } from './request-content.ts';
import { parseTarget } from './request-target.ts';
import type { Target, TargetJson } from './request-target.ts';
import { describeFault } from './schema-faults.ts';
import { BATCH_MESSAGES_MAX, LIVE_RECIPIENTS_MAX, SCHEDULE_MS_MAX, messageSchema } from './schemas/message.ts';

/** How deliveries are to go; zeros: as the gateway does by default. */
export interface Deliver {
  readonly attemptsMax: number;
  readonly ackTimeoutMs: number;
  readonly idOnly: boolean;
  readonly satisfiedByAny: boolean;
}

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
  /** 0–9; null: not said. */
  readonly level: number | null;
  readonly deliver: Deliver;
  readonly collapseKey: string | null;
  /** When it is to be sent: `atMs` since 1970 or so long after it was accepted. Null: at once. */
  readonly due: { readonly atMs: number } | { readonly afterMs: number } | null;
  readonly key: string | null;
  /** Names this request among those of one key; empty without a key. */
  readonly fingerprint: string;
}

interface MessageJson extends ContentJson {
  readonly target: TargetJson;
  readonly class?: 'durable' | 'live';
  readonly lane?: Lane;
  readonly ttlMs?: number;
  readonly attributes?: { readonly level?: number };
  readonly deliver?: { readonly attemptsMax?: number; readonly ackTimeoutMs?: number; readonly idOnly?: boolean };
  readonly collapseKey?: string;
  readonly conflationKey?: string;
  readonly deliverAtMs?: number;
  readonly delayMs?: number;
  readonly idempotencyKey?: string;
}

export interface ParsePushOptions {
  /** Where it stands in the request (`messages[3]`), empty when it is the whole. */
  readonly at: string;
  /** The Idempotency-Key header. */
  readonly headerKey: string | null;
  /** ms since 1970, to bound `deliverAtMs`. */
  readonly nowMs: number;
  /** The client that sends it; null: the business. */
  readonly from?: Origin | null;
}

const ajv = new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true, ownProperties: true });
const isMessage = ajv.compile<MessageJson>(messageSchema);

/** One message. Throws RefusedError. */
export function parsePush(value: unknown, options: ParsePushOptions): Push {
  const { at } = options;
  if (!isMessage(value)) throw faultOf(value, at);
  const field = (name: string): string => (at === '' ? name : `${at}.${name}`);
  const { target, satisfiedByAny } = parseTarget(value.target, field('target'));
  const kind = value.class ?? 'durable';
  const key = keyOf(value, options.headerKey, field('idempotencyKey'));
  assertFits(value, { target, live: kind === 'live', key }, field);
  const { content, body } = parseContent(value, field);
  const { attributes: given, conflationKey, deliver = {} } = value;
  const attributes = parseAttributes(given, { conflationKey, from: options.from ?? null }, field('attributes'));
  const push = {
    target,
    class: kind,
    lane: value.lane ?? LANE_DEFAULT,
    ttlMs: value.ttlMs ?? null,
    content,
    body,
    attributes,
    level: given?.level ?? null,
    deliver: {
      attemptsMax: deliver.attemptsMax ?? 0,
      ackTimeoutMs: deliver.ackTimeoutMs ?? 0,
      idOnly: deliver.idOnly ?? false,
      satisfiedByAny,
    },
    collapseKey: value.collapseKey ?? null,
    due: dueOf(value, options.nowMs, field),
  };
  return { ...push, key, fingerprint: key === null ? '' : fingerprintOf({ ...push, lane: value.lane ?? null }) };
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

function keyOf(message: MessageJson, headerKey: string | null, field: string): string | null {
  const own = message.idempotencyKey ?? null;
  if (own !== null && headerKey !== null && own !== headerKey)
    throw invalid(field, 'expected the same key as the header Idempotency-Key, or one of the two');
  return own ?? headerKey;
}

/** What a schema cannot say: which fields go with which target and class. */
function assertFits(
  message: MessageJson,
  { target, live, key }: { target: Target; live: boolean; key: string | null },
  field: (name: string) => string,
): void {
  const only = (name: keyof MessageJson, rule: string): void => {
    if (message[name] !== undefined) throw invalid(field(name), `expected only with ${rule}`);
  };
  if (target.kind === 'topic') only('lane', 'device, account, lists and group; a topic has one stream');
  if (live && key !== null)
    throw invalid(field('idempotencyKey'), 'expected only with class durable; live messages are not stored');
  if (live) {
    for (const name of ['collapseKey', 'deliverAtMs', 'delayMs', 'deliver'] as const)
      only(name, 'class durable; live messages are not stored');
    const named = target.kind === 'devices' ? target.devices : target.kind === 'accounts' ? target.accounts : [];
    if (named.length > LIVE_RECIPIENTS_MAX)
      throw invalid(
        `${field('target')}.${target.kind}`,
        `expected at most ${LIVE_RECIPIENTS_MAX} names with class live, got ${named.length}`,
      );
  } else only('conflationKey', 'class live; collapseKey does it for durable messages');
  for (const name of ['idempotencyKey', 'collapseKey', 'conflationKey'] as const)
    if (message[name] !== undefined) assertWellFormed(message[name], field(name));
}

function dueOf(message: MessageJson, nowMs: number, field: (name: string) => string): Push['due'] {
  const { deliverAtMs, delayMs } = message;
  if (deliverAtMs !== undefined && delayMs !== undefined)
    throw invalid(field('deliverAtMs'), 'expected one of deliverAtMs and delayMs');
  if (delayMs !== undefined) return delayMs === 0 ? null : { afterMs: delayMs };
  if (deliverAtMs === undefined) return null;
  if (deliverAtMs <= nowMs + SCHEDULE_MS_MAX) return { atMs: deliverAtMs };
  throw invalid(field('deliverAtMs'), `expected at most ${SCHEDULE_MS_MAX} ms from now, got ${deliverAtMs - nowMs}`);
}

/** 128 bits over everything that makes two requests the same message. */
function fingerprintOf(message: Omit<Push, 'key' | 'fingerprint' | 'lane'> & { readonly lane: Lane | null }): string {
  const { body, attributes, ...rest } = message;
  const head = Buffer.from(`${JSON.stringify(rest)}\n${attributes.length}\n`);
  return hash('sha256', Buffer.concat([head, attributes, body]), 'base64url').slice(0, 22);
}

function invalid(field: string, problem: string): RefusedError {
  return new RefusedError('invalid-request', `${field}: ${problem}`, { field });
}
