// The dead topic's records: a message that nobody could handle, with the reason, and later what became of it. Both carry the message's order
// key, so that what became of it stands behind it. Pure; batch.ts and dead-letters.ts write them, dead-letters.ts reads them.
import { BUS_TOPICS } from '../bus/port.ts';
import type { BusRecord, ReceivedRecord } from '../bus/port.ts';
import { ORIGIN_HEADER, originOf } from './message.ts';

export interface DeadLetter {
  /** Where the record stood in the upstream topic. */
  readonly id: string;
  readonly app: string;
  readonly account: string;
  readonly device: string;
  readonly kind: string;
  readonly key: string;
  readonly handler: string;
  readonly reason: string;
  readonly attempts: number;
  readonly deadAtMs: number;
  readonly record: ReceivedRecord;
}
export type DeadEvent =
  | { readonly kind: 'dead'; readonly letter: DeadLetter }
  | { readonly kind: 'done'; readonly id: string };

/** Headers of ours; the message's own stand beside them. */
const OWN = ['id', 'state', 'handler', 'reason', 'attempts', 'deadAtMs'] as const;
const REASON_CHARS_MAX = 500;

export function deadRecord(
  record: ReceivedRecord,
  why: { readonly handler: string; readonly reason: string; readonly attempts: number; readonly atMs: number },
): BusRecord {
  return {
    topic: BUS_TOPICS.upstreamDead,
    key: record.key,
    headers: {
      ...record.headers,
      [ORIGIN_HEADER]: originOf(record),
      id: `${record.partition}-${record.offset}`,
      state: 'dead',
      handler: why.handler,
      reason: why.reason.slice(0, REASON_CHARS_MAX),
      attempts: `${why.attempts}`,
      deadAtMs: `${why.atMs}`,
    },
    value: record.value,
  };
}

/** Says that a letter was dealt with. */
export function doneRecord(letter: DeadLetter, state: 'redriven' | 'dropped'): BusRecord {
  return { topic: BUS_TOPICS.upstreamDead, key: letter.record.key, headers: { id: letter.id, state }, value: NOTHING };
}

/** The message as it was, on its way to the handlers once more. */
export function redrivenRecord({ record }: DeadLetter): BusRecord {
  const headers = Object.fromEntries(Object.entries(record.headers).filter(([name]) => !isOwn(name)));
  return { topic: BUS_TOPICS.upstream, key: record.key, headers, value: record.value };
}

export function parseDeadRecord(record: ReceivedRecord): DeadEvent {
  const { headers } = record;
  const at = (name: string): string => headers[name] ?? '';
  if (at('state') !== 'dead') return { kind: 'done', id: at('id') };
  return {
    kind: 'dead',
    letter: {
      id: at('id'),
      app: at('app'),
      account: at('account'),
      device: at('device'),
      kind: at('kind'),
      key: at('key'),
      handler: at('handler'),
      reason: at('reason'),
      attempts: Number(at('attempts')),
      deadAtMs: Number(at('deadAtMs')),
      record,
    },
  };
}

const NOTHING = new Uint8Array(0);

function isOwn(name: string): boolean {
  return OWN.some((own) => own === name);
}
