// Dead letters of an app: listed, shown with their bodies, acted on one by one or all at a pace. An action over all is a job that walks
// them page by page; its progress stands in a row like a message's, so that it can be read and stopped, and any router goes on with it.
import { RefusedError } from '../../protocol/codes.ts';
import type { AppId, DeviceId, MessageId } from '../../protocol/ids.ts';
import { messageIdTimeMs } from '../../protocol/ids.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { LANE_DEFAULT } from '../../protocol/streams.ts';
import type { DeadLetter, Job, Message, Store } from '../../store/port.ts';
import type { JobHandler, JobOutcome, Slice } from '../push/jobs.ts';
import { actOnLetters } from './redrive.ts';
import type { ActionKind, LetterResult, RedriveOptions } from './redrive.ts';

export interface DeadLettersOptions extends RedriveOptions {
  readonly store: RedriveOptions['store'] &
    Pick<
      Store,
      'deadLetters' | 'deadLetter' | 'countDeadLetters' | 'messages' | 'changeMessage' | 'putJobs' | 'delayJob'
    >;
  readonly monotonicMs: () => number;
  readonly onJob: () => void;
}

/** Letters that one request may name, and one page of an action over all. */
export const LETTERS_MAX = 500;
const PAGE = 100;
export const RATE_DEFAULT = 100;
export const RATE_MAX = 10_000;

/** Which letters; left out: all. */
export interface LetterFilter {
  readonly device?: DeviceId;
  readonly state?: DeadLetter['state'];
}

/** Letters with these ids are acted on; ids of one that is gone come back as unknown. Rejects as the store does. */
export async function actOnSome(
  options: DeadLettersOptions,
  app: AppId,
  { action, ids }: { readonly action: ActionKind; readonly ids: readonly string[] },
): Promise<readonly LetterResult[]> {
  const found = await Promise.all(ids.map((id) => options.store.deadLetter(app, id)));
  const letters = found.filter((letter) => letter !== null);
  const results = new Map((await actOnLetters(options, app, { action, letters })).map((result) => [result.id, result]));
  return ids.map((id) => results.get(id) ?? { id, outcome: 'unknown' });
}

/** The body and the rest of a letter's record; the body is null when it was kept elsewhere and is gone. */
export async function letterOf(options: DeadLettersOptions, app: AppId, id: string) {
  const letter = await options.store.deadLetter(app, id);
  if (letter === null)
    throw new RefusedError('dead-letter-unknown', `id: no dead letter ${id.slice(0, 100)}`, { field: 'id' });
  const record = decodeRecord(letter.record);
  if (!record.bodyElsewhere) return { letter, record, body: record.body };
  const [whole = null] = await options.store.bodies(app, [record.id]);
  return { letter, record, body: whole === null ? null : decodeRecord(whole).body };
}

interface Walk extends LetterFilter {
  /** Of the row. */
  readonly id: MessageId;
  readonly action: ActionKind;
  readonly ratePerSecond: number;
  readonly cursor: string | null;
}

/** Begins an action over all letters there are now. Answers its row. Rejects as the store does. */
export async function actOnAll(
  options: DeadLettersOptions,
  app: AppId,
  asked: { readonly action: ActionKind; readonly ratePerSecond: number; readonly filter: LetterFilter },
): Promise<Message> {
  const { store } = options;
  const id = options.newId();
  const { action, ratePerSecond, filter } = asked;
  const row: Message = {
    app,
    id,
    target: { kind: 'dead-letters', action },
    lane: LANE_DEFAULT,
    state: 'accepted',
    acceptedAtMs: messageIdTimeMs(id),
    dueAtMs: 0,
    expiresAtMs: 0,
    recipients: await store.countDeadLetters(app),
    chunks: 0,
    chunksDone: 0,
    chunkMarks: '',
    record: null,
    options: JSON.stringify({ ratePerSecond, ...filter }),
  };
  await store.putMessages([row], []);
  await store.putJobs([walkJob(app, { id, action, ratePerSecond, cursor: null, ...filter })]);
  options.onJob();
  return row;
}

/** How far an action over all has come. Rejects with RefusedError 'message-unknown'. */
export async function actionOf(options: DeadLettersOptions, app: AppId, id: MessageId): Promise<Message> {
  const [row = null] = await options.store.messages(app, [id]);
  if (row?.target.kind === 'dead-letters') return row;
  throw new RefusedError('message-unknown', `id: no action ${id} on dead letters`, { field: 'id' });
}

/** No further letter is acted on. Rejects with RefusedError 'message-unknown' or 'not-cancellable'. */
export async function stopAction(options: DeadLettersOptions, app: AppId, id: MessageId): Promise<Message> {
  await actionOf(options, app, id);
  const row = await options.store.changeMessage(app, id, { state: 'cancelled', expect: ['accepted', 'expanding'] });
  if (row !== null) return row;
  throw new RefusedError('not-cancellable', `id: the action ${id} has ended`, { field: 'id' });
}

function walkJob(app: AppId, walk: Walk): Job {
  return { id: `dead-letters-${walk.id}`, app, kind: 'dead-letters', dueAtMs: 0, claims: 0, payload: encode(walk) };
}
function encode(walk: Walk): Uint8Array {
  return Buffer.from(JSON.stringify(walk));
}

/** Runs jobs of kind 'dead-letters'. The row counts what is done; where the walk is stands in the payload, so a page may come twice. */
export function walkLetters(options: DeadLettersOptions): JobHandler {
  const { store } = options;
  return async (job, slice) => {
    let walk = JSON.parse(Buffer.from(job.payload).toString()) as Walk;
    const expect = ['accepted', 'expanding'] as const;
    const startedMs = options.monotonicMs();
    let acted = 0;
    let row = await store.changeMessage(job.app, walk.id, { state: 'expanding', expect });
    while (row !== null) {
      const page = await step(options, job.app, walk);
      acted += page.acted;
      walk = { ...walk, cursor: page.next };
      const state = page.next === null ? 'expanded' : 'expanding';
      row = await store.changeMessage(job.app, walk.id, { state, chunksDone: row.chunksDone + page.acted, expect });
      if (page.next === null) break;
      const later = pause(walk, slice, { acted, spentMs: options.monotonicMs() - startedMs });
      if (later !== null) return later;
    }
    return 'done';
  };
}

/** One page. Letters that died after the action began are left: what comes back again and again must not go round for ever. */
async function step(
  options: DeadLettersOptions,
  app: AppId,
  walk: Walk,
): Promise<{ readonly acted: number; readonly next: string | null }> {
  const { cursor, device, state, action, ratePerSecond } = walk;
  const { letters, next } = await options.store.deadLetters(app, {
    cursor,
    limit: Math.min(PAGE, ratePerSecond),
    ...(device === undefined ? {} : { device }),
    ...(state === undefined ? {} : { state }),
  });
  const sinceMs = messageIdTimeMs(walk.id);
  const meant = letters.filter(({ atMs }) => atMs <= sinceMs);
  const results = await actOnLetters(options, app, { action, letters: meant });
  return { acted: results.filter(({ outcome }) => outcome === 'done').length, next };
}

/** Ahead of its rate, or at the end of its slice: put back until it may go on. */
function pause(
  walk: Walk,
  slice: Slice,
  sofar: { acted: number; spentMs: number },
): Exclude<JobOutcome, 'done'> | null {
  const aheadMs = (sofar.acted / walk.ratePerSecond) * 1000 - sofar.spentMs;
  if (aheadMs <= 0 && !slice.isOver()) return null;
  return { laterMs: Math.max(0, Math.ceil(aheadMs)), payload: encode(walk) };
}
