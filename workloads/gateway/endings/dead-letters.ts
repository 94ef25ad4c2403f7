// Dead letters: an entry that was delivered as often as it may be, or that the client gives up, leaves its stream and is kept for the
// app to look at (R9). The store keeps it first, then the cursor goes on; the app is told by a notice. write-entry.ts and ack-watch.ts
// bury what had its attempts, frames/nack.ts what a client calls final.
import type { Epoch } from '../../protocol/ids.ts';
import { noticeJob } from '../../protocol/notices.ts';
import { isTombstone, recordMessageId } from '../../protocol/record.ts';
import type { EntrySettleOutcome, Job, StreamEntry } from '../../store/port.ts';
import type { Connection } from '../connect/connection.ts';
import { isBehind, isEnded } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { EndedWhy } from './ended.ts';
import type { Gateway } from '../gateway.ts';
import { refOf } from '../delivery/stream-reader.ts';
import { endEntries } from './window.ts';

/** Burials under way; further ones are tried again with their next timeout, or the next position check. */
export const BURIALS_MAX = 1000;
/** Notices that wait for the store, about 300 bytes each; more are dropped and counted. */
export const NOTICES_WAITING_MAX = 10_000;
const JOBS_PER_CALL = 200;
const RETRY_MS = 1000;
const REASON_CHARS_MAX = 200;

export interface Burial {
  readonly offset: number;
  readonly reason: string;
  readonly attempts: number;
  /** Set aside for a person. */
  readonly held: boolean;
}

interface UnderWay extends Burial {
  readonly epoch: Epoch | null;
  /** Once it was read: what the store is asked may have been done though its answer was lost. */
  entry: StreamEntry | null;
}

export class DeadLetters {
  readonly #gateway: Gateway;
  #underWay = 0;
  #notices: Job[] = [];
  #telling = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** The entry ends as a dead letter; its stream waits for that, also while the store is away, then goes on. */
  bury(connection: Connection, cursor: Cursor, burial: Burial): void {
    if (this.#underWay >= BURIALS_MAX || cursor.reading || connection.session!.superseded) return;
    cursor.reading = true;
    this.#underWay++;
    void this.#bury(connection, cursor, { ...burial, epoch: cursor.epoch, entry: null });
  }

  async #bury(connection: Connection, cursor: Cursor, burial: UnderWay): Promise<void> {
    const { offset } = burial;
    const { clock, log, reader } = this.#gateway;
    const isOpen = (): boolean => connection.phase === 'live' && connection.session?.find(cursor.name) === cursor;
    try {
      const why = await this.#keep(connection, cursor, burial);
      // A session that ended meanwhile has told the store what it had: its next one finds the dead letter kept already.
      if (why !== null && cursor.epoch === burial.epoch && isOpen())
        endEntries(connection, cursor, { from: offset, to: offset, why });
    } catch (error) {
      log.warn({ stream: cursor.name, offset, problem: String(error) }, 'dead letter not kept, again later');
      // What its answer would have been is unknown: only asked again it is told to the app, and once.
      if (isOpen()) return void clock.after(RETRY_MS, () => void this.#bury(connection, cursor, burial));
    }
    this.#underWay--;
    cursor.reading = false;
    if (connection.phase === 'live' && isBehind(cursor)) reader.want(connection, cursor, 'now');
  }

  /** Keeps it in the store; answers how the entry ended, null: this session has no say any more. Rejects as the store does. */
  async #keep(connection: Connection, cursor: Cursor, burial: UnderWay): Promise<EndedWhy | null> {
    const { reads } = this.#gateway;
    const { epoch, offset } = burial;
    if (epoch === null || cursor.epoch !== epoch || connection.session!.superseded || isEnded(cursor, offset))
      return null;
    if (burial.entry === null) {
      const page = await reads.read({
        stream: refOf(connection, cursor),
        after: { epoch, offset: offset - 1 },
        entriesMax: 1,
      });
      const entry = page.entries[0];
      if (page.epoch !== epoch || page.notRecovered !== null || entry?.offset !== offset) return 'expired';
      if (isTombstone(entry.record)) return 'cancelled';
      burial.entry = entry;
    }
    const found = { ...burial, entry: burial.entry };
    const why =
      cursor.lane === null
        ? await this.#keepOfTopic(connection, cursor, found)
        : await this.#keepOfLane(connection, cursor, burial);
    if (why === 'dead') this.#note(connection, cursor, found);
    return why;
  }

  async #keepOfLane(connection: Connection, cursor: Cursor, burial: Burial): Promise<EndedWhy | null> {
    const { store, name } = this.#gateway;
    const { permission, generation } = connection.session!;
    const { app, device } = permission;
    const entry = { epoch: cursor.epoch!, offset: burial.offset };
    const { attempts, held } = burial;
    const reason = burial.reason.slice(0, REASON_CHARS_MAX);
    const [outcome] = await store.settleEntries([
      { app, device, lane: cursor.lane!, entry, state: 'dead', generation, gateway: name, reason, attempts, held },
    ]);
    return whyOf(outcome!);
  }

  async #keepOfTopic(
    connection: Connection,
    cursor: Cursor,
    { entry, offset, attempts, held, reason }: Burial & { entry: StreamEntry },
  ): Promise<EndedWhy> {
    const { app, account, device } = connection.session!.permission;
    await this.#gateway.store.putDeadLetters([
      {
        app,
        device,
        account,
        stream: cursor.name,
        messageId: recordMessageId(entry.record),
        epoch: cursor.epoch!,
        offset,
        reason: reason.slice(0, REASON_CHARS_MAX),
        attempts,
        state: held ? 'held' : 'dead',
        record: entry.record,
      },
    ]);
    return 'dead';
  }

  #note(
    connection: Connection,
    cursor: Cursor,
    { entry, offset, attempts, reason }: Burial & { entry: StreamEntry },
  ): void {
    const { counts, trace, clock } = this.#gateway;
    const { permission } = connection.session!;
    const messageId = recordMessageId(entry.record);
    counts.deadLetters++;
    trace.note(
      'dead',
      permission,
      { stream: cursor.name, epoch: cursor.epoch, offset, messageId, attempt: attempts },
      reason,
    );
    if (this.#notices.length >= NOTICES_WAITING_MAX) {
      counts.noticesDropped++;
      return;
    }
    const { app, device } = permission;
    const notice = { event: 'dead-letter', device, messageId, stream: cursor.name, reason, attempts } as const;
    this.#notices.push(noticeJob(app, { ...notice, atMs: clock.nowMs() }));
    if (!this.#telling) void this.#tell();
  }

  /** Notices always go: whether the app asked for them, the router that runs the job knows. */
  async #tell(): Promise<void> {
    this.#telling = true;
    while (this.#notices.length > 0 && !this.#gateway.state.ended) {
      const some = this.#notices.slice(0, JOBS_PER_CALL);
      try {
        await this.#gateway.store.putJobs(some);
        this.#notices = this.#notices.slice(some.length);
      } catch (error) {
        this.#gateway.log.warn({ notices: some.length, problem: String(error) }, 'notices not put, again later');
        this.#gateway.clock.after(RETRY_MS, () => void this.#tell());
        return;
      }
    }
    this.#telling = false;
  }
}

function whyOf(outcome: EntrySettleOutcome): EndedWhy | null {
  if (outcome.kind === 'settled') return 'dead';
  if (outcome.kind === 'unknown') return 'expired';
  if (outcome.kind === 'stale') return null;
  return outcome.state === 'satisfied' ? 'cancelled' : outcome.state;
}
