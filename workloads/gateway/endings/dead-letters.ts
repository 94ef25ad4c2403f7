// Dead letters: an entry that was delivered as often as it may be, or that the client gives up, leaves its stream and is kept for the
// app to look at (R9). The store keeps it first, then the cursor goes on; the app is told by a notice. write-entry.ts and ack-watch.ts
// bury what had its attempts, frames/nack.ts what a client calls final.
import { noticeJob } from '../../protocol/notices.ts';
import { recordMessageId } from '../../protocol/record.ts';
import type { EntrySettleOutcome, Job, StreamEntry } from '../../store/port.ts';
import type { Connection } from '../connect/connection.ts';
import { isBehind } from './cursor.ts';
import type { Cursor } from './cursor.ts';
import type { EndedWhy } from './ended.ts';
import type { Gateway } from '../gateway.ts';
import { refOf } from '../delivery/stream-reader.ts';
import { endEntries } from './window.ts';

/** Burials under way; further ones are tried again when their next timeout comes. */
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

export class DeadLetters {
  readonly #gateway: Gateway;
  #underWay = 0;
  #notices: Job[] = [];
  #telling = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** The entry ends as a dead letter; its stream waits for that, then goes on. While the store is away it is tried again with the next timeout. */
  bury(connection: Connection, cursor: Cursor, burial: Burial): void {
    if (this.#underWay >= BURIALS_MAX || cursor.reading || connection.session!.superseded) return;
    cursor.reading = true;
    this.#underWay++;
    void this.#bury(connection, cursor, burial);
  }

  async #bury(connection: Connection, cursor: Cursor, burial: Burial): Promise<void> {
    const { epoch } = cursor;
    let waitMs = 0;
    try {
      const why = await this.#keep(connection, cursor, burial);
      if (why !== null && cursor.epoch === epoch && connection.session?.find(cursor.name) === cursor) {
        const ended = { from: burial.offset, to: burial.offset, why };
        // A session that ended meanwhile has told the store what it had: its next one finds the dead letter kept already.
        if (connection.phase === 'live') endEntries(connection, cursor, ended);
      }
    } catch (error) {
      const { offset } = burial;
      this.#gateway.log.warn(
        { stream: cursor.name, offset, problem: String(error) },
        'dead letter not kept, again later',
      );
      waitMs = RETRY_MS;
    }
    const goOn = (): void => {
      this.#underWay--;
      cursor.reading = false;
      if (connection.phase === 'live' && isBehind(cursor)) this.#gateway.reader.want(connection, cursor, 'now');
    };
    if (waitMs === 0) goOn();
    else this.#gateway.clock.after(waitMs, goOn);
  }

  /** Keeps it in the store; answers how the entry ended, null: this session has no say any more. Rejects as the store does. */
  async #keep(connection: Connection, cursor: Cursor, burial: Burial): Promise<EndedWhy | null> {
    const { reads } = this.#gateway;
    const { epoch } = cursor;
    if (epoch === null) return null;
    const after = { epoch, offset: burial.offset - 1 };
    const page = await reads.read({ stream: refOf(connection, cursor), after, entriesMax: 1 });
    const entry = page.entries[0];
    if (page.epoch !== epoch || page.notRecovered !== null || entry?.offset !== burial.offset) return 'expired';
    const why =
      cursor.lane === null
        ? await this.#keepOfTopic(connection, cursor, { ...burial, entry })
        : await this.#keepOfLane(connection, cursor, burial);
    if (why === 'dead') this.#note(connection, cursor, { ...burial, entry });
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
