// Acting on dead letters a page at a time: sent again, dropped, set aside for a person or given back. One that is sent again is a new
// delivery of a new message, with the lifetime it had; where its body is kept once with the old message, the new one gets a copy first.
// dead-letters.ts decides which letters.
import { messageIdTimeMs } from '../../protocol/ids.ts';
import type { AppId, MessageId } from '../../protocol/ids.ts';
import { decodeRecord, encodeRecord } from '../../protocol/record.ts';
import type { MessageRecord } from '../../protocol/record.ts';
import { LANE_DEFAULT, laneOf } from '../../protocol/streams.ts';
import type { DeadLetter, DeadLetterAction, DeadLetterOutcome, Message, Store } from '../../store/port.ts';
import type { RouterCounts } from '../counts.ts';
import type { Hints } from '../delivery/hints.ts';

export type ActionKind = DeadLetterAction['kind'];
export const ACTIONS: readonly ActionKind[] = ['redrive', 'drop', 'hold', 'release'];

export interface RedriveOptions {
  readonly store: Pick<Store, 'bodies' | 'putMessages' | 'changeDeadLetters'>;
  readonly hints: Pick<Hints, 'tellDevice'>;
  readonly newId: () => MessageId;
  readonly nowMs: () => number;
  readonly counts: RouterCounts;
}

/** `body-gone`: it was kept once with its message, and that record ran out. */
export interface LetterResult {
  readonly id: string;
  readonly outcome: 'done' | 'unknown' | 'refused';
  readonly reason?: 'stream-full' | 'device-unknown' | 'body-gone';
  /** Of one that was sent again. */
  readonly messageId?: MessageId;
}

/** One letter with what is needed to send it again. */
interface Redriven {
  readonly letter: DeadLetter;
  readonly messageId: MessageId;
  readonly expiresAtMs: number;
  /** Whole, under the new id; null: its body is gone. */
  readonly record: Uint8Array | null;
  readonly isShared: boolean;
}

/** At most some hundred letters. Rejects as the store does; what was done then is done, and comes back as unknown. */
export async function actOnLetters(
  options: RedriveOptions,
  app: AppId,
  { action, letters }: { readonly action: ActionKind; readonly letters: readonly DeadLetter[] },
): Promise<readonly LetterResult[]> {
  if (letters.length === 0) return [];
  const results =
    action === 'redrive' ? await redrive(options, app, letters) : await change(options, app, action, letters);
  const { deadLetterActions } = options.counts;
  for (const { outcome } of results) {
    const key = `${action}/${outcome}`;
    deadLetterActions.set(key, (deadLetterActions.get(key) ?? 0) + 1);
  }
  return results;
}

async function change(
  { store }: RedriveOptions,
  app: AppId,
  kind: Exclude<ActionKind, 'redrive'>,
  letters: readonly DeadLetter[],
): Promise<readonly LetterResult[]> {
  const outcomes = await store.changeDeadLetters(
    app,
    letters.map(({ id }) => ({ id, action: { kind } })),
  );
  return letters.map(({ id }, i) => resultOf(id, outcomes[i]!));
}

async function redrive(
  options: RedriveOptions,
  app: AppId,
  letters: readonly DeadLetter[],
): Promise<readonly LetterResult[]> {
  const { store } = options;
  const all = await prepare(options, app, letters);
  const going = all.filter(({ record }) => record !== null);
  // The row first: of a shared body it is what the stream's entry points to.
  await store.putMessages(
    going.map((one) => rowOfRedriven(app, one)),
    [],
  );
  const outcomes = await store.changeDeadLetters(
    app,
    going.map(({ letter, messageId, expiresAtMs }) => ({
      id: letter.id,
      action: { kind: 'redrive', messageId, expiresAtMs },
    })),
  );
  const results = new Map<string, LetterResult>();
  going.forEach((one, i) => {
    const outcome = outcomes[i]!;
    const { id } = one.letter;
    results.set(id, { ...resultOf(id, outcome), ...(outcome.kind === 'done' ? { messageId: one.messageId } : {}) });
    tell(options, app, one, outcome);
  });
  return letters.map(({ id }) => results.get(id) ?? { id, outcome: 'refused', reason: 'body-gone' });
}

/** New ids, new expiries, whole records. */
async function prepare(
  { store, newId, nowMs }: RedriveOptions,
  app: AppId,
  letters: readonly DeadLetter[],
): Promise<readonly Redriven[]> {
  const records = letters.map((letter) => decodeRecord(letter.record));
  const shared = [...new Set(records.filter((record) => record.bodyElsewhere).map(({ id }) => id))];
  const bodies = shared.length === 0 ? [] : await store.bodies(app, shared);
  const bodyOf = new Map(shared.map((id, i) => [id, bodies[i] ?? null]));
  return letters.map((letter, i) => {
    const record = records[i]!;
    const messageId = newId();
    const { publishedAtMs } = record;
    const expiresAtMs = record.expiresAtMs === 0 ? 0 : nowMs() + (record.expiresAtMs - publishedAtMs);
    const whole = record.bodyElsewhere ? wholeOf(record, bodyOf.get(record.id) ?? null) : record;
    return {
      letter,
      messageId,
      expiresAtMs,
      record: whole === null ? null : encodeRecord({ ...whole, id: messageId, expiresAtMs }),
      isShared: record.bodyElsewhere,
    };
  });
}

function wholeOf(record: MessageRecord, body: Uint8Array | null): MessageRecord | null {
  return body === null ? null : { ...record, body: decodeRecord(body).body, bodyElsewhere: false };
}

function rowOfRedriven(app: AppId, { letter, messageId, expiresAtMs, record, isShared }: Redriven): Message {
  return {
    app,
    id: messageId,
    target: { kind: 'device', device: letter.device },
    lane: laneOf(letter.stream) ?? LANE_DEFAULT,
    state: 'accepted',
    acceptedAtMs: messageIdTimeMs(messageId),
    dueAtMs: 0,
    expiresAtMs,
    recipients: 1,
    chunks: 0,
    chunksDone: 0,
    chunkMarks: '',
    record: isShared ? record : null,
    options: JSON.stringify({ redriven: letter.messageId }),
  };
}

function resultOf(id: string, outcome: DeadLetterOutcome): LetterResult {
  if (outcome.kind === 'refused') return { id, outcome: 'refused', reason: outcome.reason };
  return { id, outcome: outcome.kind };
}

/** A hint, as for any push; tellDevice never rejects. */
function tell({ hints }: RedriveOptions, app: AppId, { letter, record }: Redriven, outcome: DeadLetterOutcome): void {
  if (outcome.kind !== 'done' || outcome.appended?.kind !== 'appended' || record === null) return;
  const { lane, epoch, offset, prev } = outcome.appended;
  const { device } = letter;
  void hints.tellDevice({ kind: 'deliver-device', app, device, lane, epoch, offset, prev, record });
}
