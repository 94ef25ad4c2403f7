// Taking a message back: DELETE /v1/messages/{id}. What has not ended ends as cancelled; what was acked stays so. Large lists are
// cancelled by a job, chunk by chunk, which any router resumes. commands/messages.ts asks.
import { RefusedError } from '../../protocol/codes.ts';
import type { AppId, DeviceId, MessageId } from '../../protocol/ids.ts';
import type { EntrySettle, Message, MessageState, Store } from '../../store/port.ts';
import { devicesOfChunks } from '../push/chunks.ts';
import type { JobHandler } from '../push/jobs.ts';
import { cancelJob, messageOfJob } from '../push/list.ts';

export interface CancelOptions {
  readonly store: Pick<
    Store,
    | 'messages'
    | 'changeMessage'
    | 'settleEntries'
    | 'cancelTopicEntry'
    | 'accountDevices'
    | 'messageChunk'
    | 'putJobs'
    | 'finishJobs'
    | 'delayJob'
  >;
  readonly onJob: () => void;
}

export interface Cancelled {
  readonly id: MessageId;
  readonly state: 'cancelled';
  /** Deliveries that this ended; of a topic 1; null: a job is at it, and the message's counts will tell. */
  readonly cancelled: number | null;
}

/** Lists of so many chunks are cancelled before the answer: 2,000 recipients in a trip of some ten milliseconds. */
export const INLINE_CHUNKS_MAX = 4;
const OPEN: readonly MessageState[] = ['accepted', 'scheduled', 'expanding', 'expanded'];

/** Rejects with RefusedError 'message-unknown' or 'not-cancellable', or as the store does. */
export async function cancelMessage(options: CancelOptions, app: AppId, id: MessageId): Promise<Cancelled> {
  const { store } = options;
  const [row = null] = await store.messages(app, [id]);
  if (row === null || row.target.kind === 'dead-letters')
    throw new RefusedError('message-unknown', `id: no message ${id}, or its record ran out`, { field: 'id' });
  const answer = (cancelled: number | null): Cancelled => ({ id, state: 'cancelled', cancelled });
  if (row.state === 'cancelled') return answer(0);
  if (row.state === 'scheduled' && (await mark(options, row, ['scheduled']))) {
    await store.finishJobs([{ app, id: `send-${id}` }]);
    return answer(row.recipients);
  }
  const ended = row.chunks > 0 ? await cancelList(options, row) : await cancelFew(options, row);
  // A list that was not expanded has recipients left: they get nothing.
  if (ended !== 0 || (row.chunks > 0 && row.state !== 'expanded')) return answer(ended);
  throw new RefusedError('not-cancellable', `id: every delivery of ${id} has ended`, { field: 'id' });
}

/** A message without chunks: for a device, an account or a topic. */
async function cancelFew(options: CancelOptions, row: Message): Promise<number> {
  const { store } = options;
  const { app, target } = row;
  const ended =
    target.kind === 'topic'
      ? Number(await store.cancelTopicEntry(app, target.topic, row.id))
      : await cancelDeliveries(store, row, await fewDevices(options, row));
  if (ended > 0) await mark(options, row, ['accepted', 'scheduled']);
  return ended;
}

async function fewDevices({ store }: CancelOptions, { app, target }: Message): Promise<readonly DeviceId[]> {
  if (target.kind === 'device') return [target.device];
  return target.kind === 'account' ? await store.accountDevices(app, target.account) : [];
}

/**
 * The state first, so that an expansion stops: it settles by itself what it has appended and not marked. A small one is then cancelled
 * at once; null: by a job.
 */
async function cancelList(options: CancelOptions, row: Message): Promise<number | null> {
  const { store } = options;
  const isSmall = row.chunks <= INLINE_CHUNKS_MAX;
  if (row.state === 'expanded' && isSmall) {
    const ended = await cancelChunks(options, row, row.chunks);
    if (ended > 0) await mark(options, row, ['expanded']);
    return ended;
  }
  await store.putJobs([cancelJob(row)]);
  await mark(options, row, OPEN);
  if (!isSmall) {
    options.onJob();
    return null;
  }
  const ended = await cancelChunks(options, row, row.chunks);
  await store.finishJobs([cancelJob(row)]);
  return ended;
}

async function cancelChunks({ store }: CancelOptions, row: Message, to: number): Promise<number> {
  return await cancelDeliveries(store, row, await devicesOfChunks(store, row, 0, to));
}

async function mark({ store }: CancelOptions, row: Message, expect: readonly MessageState[]): Promise<boolean> {
  return (await store.changeMessage(row.app, row.id, { state: 'cancelled', expect })) !== null;
}

/** Runs jobs of kind 'cancel'. Its progress is the payload's `next`. */
export function cancelLists(options: CancelOptions): JobHandler {
  const { store } = options;
  return async (job, slice) => {
    const id = messageOfJob(job);
    const [row = null] = await store.messages(job.app, [id]);
    if (row === null) return 'done';
    if (row.state !== 'cancelled') await mark(options, row, OPEN); // whoever asked died before it could
    const { next = 0 } = JSON.parse(Buffer.from(job.payload).toString()) as { next?: number };
    for (let from = next; from < row.chunks; from += INLINE_CHUNKS_MAX) {
      if (slice.isOver()) return { laterMs: 0, payload: Buffer.from(JSON.stringify({ id, next: from })) };
      const to = Math.min(row.chunks, from + INLINE_CHUNKS_MAX);
      await cancelDeliveries(store, row, await devicesOfChunks(store, row, from, to));
    }
    return 'done';
  };
}

/** Ends the deliveries of a message to these devices; answers how many there were to end. */
export async function cancelDeliveries(
  store: Pick<Store, 'settleEntries'>,
  row: Pick<Message, 'app' | 'id' | 'lane'>,
  devices: readonly DeviceId[],
): Promise<number> {
  if (devices.length === 0) return 0;
  const { app, id: messageId, lane } = row;
  const entry = { messageId };
  const outcomes = await store.settleEntries(
    devices.map((device): EntrySettle => ({ app, device, lane, entry, state: 'cancelled', generation: null })),
  );
  return outcomes.filter((outcome) => outcome.kind === 'settled').length;
}
