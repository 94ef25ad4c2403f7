// Opens streams for a session, at connect and at subscribe: finds for each where it goes on, reads what is missing (first page), and then
// lets it live. The route is confirmed by the store before anything is read (R1); hints that come meanwhile raise the stream's head,
// and the session reads on until it has reached it. start.ts decides, pages.ts writes.
import type { StreamState } from '../../protocol/frames.ts';
import type { StreamName } from '../../protocol/streams.ts';
import type { TopicName } from '../../protocol/ids.ts';
import type { HoldReason } from '../backlog/backlog-plan.ts';
import { Channel } from '../delivery/channel.ts';
import type { Connection } from './connection.ts';
import { Cursor, hear, isBehind, noteGone, noteOf, place } from '../endings/cursor.ts';
import type { HeardStream } from '../endings/cursor.ts';
import type { Gateway } from '../gateway.ts';
import { releaseStream } from './leave.ts';
import { Page, writePage } from '../delivery/pages.ts';
import { planStart, settleStart, stateOf } from './start.ts';
import type { Place, ServerCursor, StartKnown } from './start.ts';
import { PAGE_ENTRIES, pageOfTail, refOf } from '../delivery/stream-reader.ts';

export interface StreamRequest {
  readonly name: StreamName;
  readonly claim: Place | null;
  /** The server's cursor: what is settled in a lane, the stored row of a topic. */
  readonly server: ServerCursor;
  /** A lane's head as openSession told it; topics: null, the channel knows or asks. */
  readonly lane: HeardStream | null;
  /** A topic's filter as JSON text; null: everything. */
  readonly filter: string | null;
  /** Deliveries of an entry in earlier sessions (R9). */
  readonly attempts: { readonly offset: number; readonly attempts: number } | null;
}
export interface OpenedStream {
  readonly cursor: Cursor;
  /** Null: nobody has written it yet; the client is told when somebody does. */
  readonly state: StreamState | null;
  readonly page: Page | null;
  /** It is not read like others, but through backlog.ts. */
  readonly hold?: HoldReason;
}

/** Finds the places. The cursors belong to the session from the first moment, so that its end releases them. Rejects as the store does. */
export async function openStreams(
  gateway: Gateway,
  connection: Connection,
  requests: readonly StreamRequest[],
): Promise<OpenedStream[]> {
  const cursors = requests.map((request) => adopt(gateway, connection, request));
  try {
    await syncChannels(gateway, cursors);
    return await Promise.all(requests.map((request, i) => openStream(gateway, connection, request, cursors[i]!)));
  } catch (error) {
    if (connection.phase !== 'closed') for (const cursor of cursors) abandon(gateway, connection, cursor);
    throw error;
  }
}

/** Gives up a stream whose place could not be found: asking again finds it fresh. */
function abandon(gateway: Gateway, connection: Connection, cursor: Cursor): void {
  connection.session!.remove(cursor);
  releaseStream(gateway, connection, cursor);
}

/** Lets the streams live, once the client was told their states: what was read goes out, hints are taken from here on. */
export function enliven(gateway: Gateway, connection: Connection, opened: readonly OpenedStream[]): void {
  for (const { cursor, hold } of opened) {
    const isHeld = hold !== undefined && connection.session?.find(cursor.name) === cursor;
    if (isHeld) gateway.backlog.hold(connection, cursor, hold);
  }
  for (const { cursor, page, hold } of opened) {
    if (connection.session?.find(cursor.name) !== cursor) continue; // unsubscribed meanwhile
    cursor.reading = false;
    if (cursor.stream instanceof Channel) cursor.stream.join(cursor, connection);
    const outcome = page === null || hold !== undefined ? 'all' : writePage(gateway, connection, cursor, page);
    if (outcome === 'more' || (outcome === 'all' && isBehind(cursor))) gateway.reader.want(connection, cursor, 'now');
    noteStart(gateway, connection, cursor);
  }
}

function adopt(gateway: Gateway, connection: Connection, request: StreamRequest): Cursor {
  const session = connection.session!;
  const { app } = session.permission;
  let stream = request.lane;
  if (stream === null) {
    const channel = gateway.directory.app(app).channel(request.name as TopicName);
    channel.members++;
    stream = channel;
  }
  const cursor = new Cursor(request.name, stream);
  cursor.reading = true; // hints wait until it lives
  cursor.filter = gateway.filters.of(request.filter);
  session.add(cursor);
  return cursor;
}

/** Asks the store for the heads of channels that are new here: earlier hints did not reach them. */
async function syncChannels(gateway: Gateway, cursors: readonly Cursor[]): Promise<void> {
  const fresh: Channel[] = [];
  const waits: Promise<void>[] = [];
  for (const { stream } of cursors) {
    if (!(stream instanceof Channel)) continue;
    if (stream.synced === null) fresh.push(stream);
    else waits.push(stream.synced);
  }
  if (fresh.length > 0) {
    const asked = askHeads(gateway, fresh);
    for (const channel of fresh) channel.synced = asked;
    waits.push(asked);
  }
  await Promise.all(waits);
}

async function askHeads(gateway: Gateway, channels: readonly Channel[]): Promise<void> {
  try {
    const heads = await gateway.store.heads(channels.map(({ app, topic }) => ({ app, kind: 'topic', topic })));
    channels.forEach((channel, i) => {
      const { epoch, head } = heads[i]!;
      if (epoch !== null && (channel.epoch === null || channel.epoch === epoch)) hear(channel, epoch, head);
    });
  } catch (error) {
    for (const channel of channels) channel.synced = null; // the next session asks again
    throw error;
  }
}

async function openStream(
  gateway: Gateway,
  connection: Connection,
  request: StreamRequest,
  cursor: Cursor,
): Promise<OpenedStream> {
  const { name, claim, server } = request;
  const { stream } = cursor;
  const head = stream.epoch === null ? null : { epoch: stream.epoch, offset: stream.head };
  const known: StartKnown = { claim, server, head };
  const plan = planStart(known);
  if (plan.kind === 'unwritten') return { cursor, state: null, page: null };
  if (plan.kind === 'here') {
    const state = stateOf(name, plan.at, plan.reason);
    begin(cursor, state, request);
    return { cursor, state, page: null };
  }
  const tail = connection.session!.backlog === null ? pageOfTail(gateway, stream, plan.after) : null;
  const held = tail === null ? gateway.backlog.holdBack(connection, name, known) : null;
  if (held?.state) {
    begin(cursor, held.state, request);
    return { cursor, state: held.state, page: null, hold: held.reason };
  }
  const hold = held === null ? {} : { hold: held.reason };
  const page = tail ?? (await readPage(gateway, connection, cursor, plan.after));
  const { outcome } = page;
  if (outcome.epoch === null) return { cursor, state: null, page: null, ...hold };
  const state = settleStart(name, claim, { ...outcome, epoch: outcome.epoch });
  begin(cursor, state, request);
  return { cursor, state, page: page.placed(), ...hold };
}

async function readPage(gateway: Gateway, connection: Connection, cursor: Cursor, after: Place | null): Promise<Page> {
  const knownEpoch = cursor.stream.epoch;
  const outcome = await gateway.reads.read({ stream: refOf(connection, cursor), after, entriesMax: PAGE_ENTRIES });
  // A lane of another epoch than the session was told may be another account's: the device changed hands between two trips (R8).
  if (cursor.lane !== null && outcome.epoch !== knownEpoch && outcome.epoch !== after?.epoch)
    await confirmSession(gateway, connection);
  return new Page(outcome);
}

/** Another session, or another account, may have the device by now: then this one ends before anything is written to it. */
async function confirmSession(gateway: Gateway, connection: Connection): Promise<void> {
  const { permission, generation } = connection.session!;
  const [route] = await gateway.store.routes(permission.app, [permission.device]);
  if (route?.generation === generation && route.account === permission.account) return;
  if (route && route.generation > generation) connection.close('replaced');
  else connection.close('internal', 'route lost'); // what the device is now, its credentials decide at the next connect
}

/** Places the cursor, and notes from where the store's row has it. */
function begin(cursor: Cursor, state: StreamState, { server: known, claim, attempts }: StreamRequest): void {
  const server = known === 'start' ? { epoch: state.epoch, offset: 0 } : known;
  place(cursor, state.epoch, state.offset);
  if (attempts !== null && attempts.attempts > 0 && attempts.offset > state.offset)
    noteOf(cursor, attempts.offset).attempts = attempts.attempts;
  if (cursor.lane !== null) {
    if (state.recovered && server?.epoch === state.epoch) cursor.saved = server.offset;
    return;
  }
  cursor.unstored = server?.epoch !== state.epoch;
  if (server === null || (cursor.unstored && state.offset < server.offset)) return;
  cursor.saved = server.offset;
  // Between the row and the place: what the client claims and the store confirms is acked (R8), the rest is gone (R12).
  const acked = claim?.epoch === state.epoch ? Math.max(claim.offset, server.offset) : server.offset;
  if (!state.recovered && state.offset > acked) noteGone(cursor, state.offset - acked);
}

function noteStart(gateway: Gateway, connection: Connection, cursor: Cursor): void {
  if (cursor.epoch === null) return;
  if (cursor.lane !== null) {
    if (cursor.acked > cursor.saved) gateway.settles.noteNow(connection, cursor);
  } else if (cursor.unstored || cursor.acked > cursor.saved) gateway.cursorFlush.note(connection);
}
