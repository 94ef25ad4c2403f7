// Accepting a message to a list or a group (R10): its recipients in chunks, its row, and the job that expands it, in this order, so that
// whatever is found has all that it needs. The answer waits for the three; expansion.ts does the rest, of a long list in spans.
import type { MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Job, Message, MessageChunk, MessageState, Store } from '../../store/port.ts';
import { rowOf } from './compose.ts';
import type { Outgoing } from './compose.ts';

export interface ListAccepterOptions {
  readonly store: Pick<Store, 'putMessages' | 'putJobs' | 'messages' | 'messageChunk'>;
  /** A job is there to be run now. */
  readonly onJob: () => void;
}

/** Chunks in one trip: 1.3 MB at 50 characters a name. */
const CHUNKS_MAX = 50;

/**
 * Stores a list; idempotent. One that is scheduled is expanded when it is due. Answers how many recipients it has. Rejects as the store does.
 * @param names distinct, 1 … LIMITS.recipientsMax
 * @param again an attempt before this one may have stored chunks of it
 */
export async function acceptList(
  { store, onJob }: ListAccepterOptions,
  out: Outgoing,
  { names, again }: { readonly names: readonly string[]; readonly again: boolean },
): Promise<number> {
  let chunks = await putChunks(store, out, { names, first: 0 });
  let recipients = names.length;
  if (again && out.target.kind === 'group') ({ chunks, recipients } = await putLeftOut(store, out, { names, chunks }));
  const state: MessageState = out.dueAtMs > 0 ? 'scheduled' : 'accepted';
  await store.putMessages([rowOf(out, { state, recipients, chunks, withRecord: true })], []);
  await store.putJobs([out.dueAtMs > 0 ? sendJob(out) : expandJob(out)]);
  onJob();
  return recipients;
}

/** Stores names from chunk `first` on; chunks that are there stay as they are. Answers how many chunks there are then. */
async function putChunks(
  store: ListAccepterOptions['store'],
  out: Outgoing,
  { names, first }: { readonly names: readonly string[]; readonly first: number },
): Promise<number> {
  const chunks = chunksOf(out, names, first);
  for (let from = 0; from < chunks.length; from += CHUNKS_MAX)
    await store.putMessages([], chunks.slice(from, from + CHUNKS_MAX));
  return first + chunks.length;
}

/**
 * A group may have had other members when its message came first: chunks of then are still there, cut at other names. Whoever is in none of
 * them gets a chunk behind them.
 */
async function putLeftOut(
  store: ListAccepterOptions['store'],
  out: Outgoing,
  { names, chunks }: { readonly names: readonly string[]; readonly chunks: number },
): Promise<{ readonly chunks: number; readonly recipients: number }> {
  const stored = new Set<string>();
  for (let from = 0, to = chunks; ;) {
    const reads = Array.from({ length: to - from }, (_, i) => store.messageChunk(out.app, out.id, from + i));
    for (const chunk of await Promise.all(reads)) for (const name of chunk ?? []) stored.add(name);
    const leftOut = names.filter((name) => !stored.has(name));
    if (leftOut.length === 0) return { chunks: to, recipients: stored.size };
    from = to;
    to = await putChunks(store, out, { names: leftOut, first: to });
  }
}

/** Puts the job of a list that is stored and not begun: whoever stored it may have died before it could. */
export async function resumeList({ store, onJob }: ListAccepterOptions, row: Message): Promise<void> {
  if (row.state !== 'accepted' && row.state !== 'scheduled') return;
  await store.putJobs([row.state === 'scheduled' ? sendJob(row) : expandJob(row)]);
  onJob();
}

function chunksOf({ app, id }: Outgoing, names: readonly string[], first: number): readonly MessageChunk[] {
  const size = LIMITS.chunkRecipientsMax;
  return Array.from({ length: Math.ceil(names.length / size) }, (_, index) => ({
    app,
    id,
    index: first + index,
    names: names.slice(index * size, (index + 1) * size),
  }));
}

/** The job that expands a list now. */
export function expandJob(of: Pick<Outgoing, 'app' | 'id'>): Job {
  return jobOf('expand', of, 0);
}
/** The job that sends a scheduled message when it is due. */
export function sendJob(of: Pick<Outgoing, 'app' | 'id' | 'dueAtMs'>): Job {
  return jobOf('send', of, of.dueAtMs);
}
/** The job that cancels what is left of a list. */
export function cancelJob(of: Pick<Outgoing, 'app' | 'id'>): Job {
  return jobOf('cancel', of, 0);
}

/** Jobs of a message are named by it: one of each kind, whoever puts it. */
function jobOf(kind: 'expand' | 'send' | 'cancel', { app, id }: Pick<Outgoing, 'app' | 'id'>, dueAtMs: number): Job {
  return { id: `${kind}-${id}`, app, kind, dueAtMs, claims: 0, payload: Buffer.from(JSON.stringify({ id })) };
}

/** The message that such a job is about. */
export function messageOfJob(job: Pick<Job, 'payload'>): MessageId {
  return (JSON.parse(Buffer.from(job.payload).toString()) as { id: MessageId }).id;
}
