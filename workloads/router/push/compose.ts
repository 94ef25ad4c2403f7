// A push and its id → what leaves: the record, when it is due, when it expires; the row that the store keeps of it; and back from such a
// row, for whoever sends it later. Pure.
import type { AppDefinition } from '../../protocol/apps.ts';
import { messageIdTimeMs } from '../../protocol/ids.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { RECORD_DEFAULTS, RECORD_HEADER_BYTES, decodeRecord, encodeRecord } from '../../protocol/record.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { Message, MessageState, MessageTarget } from '../../store/port.ts';
import type { Push } from '../api/request.ts';
import type { Target } from '../api/request-target.ts';

/** A durable message on its way. */
export interface Outgoing {
  readonly app: AppId;
  readonly id: MessageId;
  readonly target: MessageTarget;
  readonly lane: Lane;
  /** With its body. */
  readonly record: Uint8Array;
  readonly acceptedAtMs: number;
  /** 0: at once. */
  readonly dueAtMs: number;
  readonly expiresAtMs: number;
  readonly collapseKey: string | null;
}

/** Bodies larger than this are kept once when several streams hold the message (R6): a reference costs about as much. */
export const SHARED_BODY_BYTES_MIN = 257;
/** An account's devices hold the body themselves up to so many: one more read for each delivery costs more than four copies. */
export const SHARED_BODY_DEVICES_MIN = 5;

/** @param acceptedAtMs left out: as the id says, so that a retry makes the same record */
export function compose(
  app: AppDefinition,
  push: Push,
  id: MessageId,
  acceptedAtMs: number = messageIdTimeMs(id),
): Outgoing {
  const { due } = push;
  const dueAtMs = due === null ? 0 : 'atMs' in due ? due.atMs : acceptedAtMs + due.afterMs;
  const publishedAtMs = Math.max(acceptedAtMs, dueAtMs);
  const expiresAtMs = expiryOf(app, push, publishedAtMs);
  const { attemptsMax, ackTimeoutMs, idOnly, satisfiedByAny } = push.deliver;
  const record = encodeRecord({
    ...RECORD_DEFAULTS,
    id,
    publishedAtMs,
    expiresAtMs,
    content: push.content,
    attributes: push.attributes,
    body: push.body,
    level: push.level,
    attemptsMax: attemptsMax > 0 ? attemptsMax : (app.delivery.attemptsMax ?? 0),
    ackTimeoutMs: ackTimeoutMs > 0 ? ackTimeoutMs : (app.delivery.ackTimeoutMs ?? 0),
    idOnly,
    satisfiedByAny,
    collapses: push.collapseKey !== null,
  });
  const { lane, collapseKey } = push;
  const target = storedTarget(push.target);
  return {
    app: app.name,
    id,
    target,
    lane,
    record,
    acceptedAtMs,
    dueAtMs: dueAtMs > acceptedAtMs ? dueAtMs : 0,
    expiresAtMs,
    collapseKey,
  };
}

function expiryOf(app: AppDefinition, push: Push, publishedAtMs: number): number {
  if (push.class === 'live') return push.ttlMs === null ? 0 : publishedAtMs + push.ttlMs;
  const ttlMs = push.ttlMs ?? app.delivery.ttlMs ?? LIMITS.ttlDefaultMs;
  return publishedAtMs + Math.min(ttlMs, LIMITS.ttlMaxMs);
}

/** The target without its names: those stand in chunks. */
function storedTarget(target: Target): MessageTarget {
  switch (target.kind) {
    case 'devices':
      return { kind: 'devices' };
    case 'accounts':
      return { kind: 'accounts' };
    default:
      return target;
  }
}

export interface RowParts {
  readonly state: MessageState;
  readonly recipients: number;
  readonly chunks?: number;
  /** Whether the row must hold the record: streams keep the body elsewhere, or it is sent later. */
  readonly withRecord: boolean;
}

/** The row that the store keeps of a message. */
export function rowOf(out: Outgoing, parts: RowParts): Message {
  const { app, id, target, lane, acceptedAtMs, dueAtMs, expiresAtMs, record, collapseKey } = out;
  return {
    app,
    id,
    target,
    lane,
    state: parts.state,
    acceptedAtMs,
    dueAtMs,
    expiresAtMs,
    recipients: parts.recipients,
    chunks: parts.chunks ?? 0,
    chunksDone: 0,
    chunkMarks: '',
    record: parts.withRecord ? record : null,
    options: collapseKey === null ? '' : JSON.stringify({ collapseKey }),
  };
}

/** What a row says is to be sent. Null: it holds no record. */
export function outgoingOf(row: Message): Outgoing | null {
  if (row.record === null) return null;
  const { app, id, target, lane, record, acceptedAtMs, dueAtMs, expiresAtMs, options } = row;
  const { collapseKey = null } = (options === '' ? {} : JSON.parse(options)) as { collapseKey?: string };
  return { app, id, target, lane, record, acceptedAtMs, dueAtMs, expiresAtMs, collapseKey };
}

/** The record as streams hold it when its body is kept once with the message. */
export function withoutBody(record: Uint8Array): Uint8Array {
  return encodeRecord({ ...decodeRecord(record), body: new Uint8Array(0), bodyElsewhere: true });
}

/** Whether a record has a body worth keeping once. Cost: a header read. */
export function isBodyLarge(record: Uint8Array): boolean {
  if (record.length < RECORD_HEADER_BYTES + SHARED_BODY_BYTES_MIN) return false;
  return decodeRecord(record).body.length >= SHARED_BODY_BYTES_MIN;
}
