// How deliveries of device streams end in SQLite: cursors that move up, single entries that end anywhere (R4), what became of a message,
// and the attempts of the lowest unsettled one (R9). sqlite-store.ts calls these inside a tick's transaction; rows are stream-rows.ts's.
import { epochIndexOf, isWithin } from '../epochs.ts';
import { counterOf } from './ledger.ts';
import { isRemembered } from './streams.ts';
import type { StreamSurroundings } from './streams.ts';
import type { EndedColumns, Known, KnownState, RecordColumns, Stream } from './stream-rows.ts';
import { prepare } from './database.ts';
import type {
  Attempts,
  DeliveryState,
  EndState,
  EntrySettle,
  EntrySettleOutcome,
  Settle,
  SettleOutcome,
} from '../port.ts';
import type { AccountId, AppId, DeviceId, Epoch, MessageId } from '../../protocol/ids.ts';
import type { Lane } from '../../protocol/streams.ts';

const NOTHING: readonly MessageId[] = [];
const UNKNOWN = { kind: 'unknown' } as const;

export class SqliteDeliveries {
  readonly #with: StreamSurroundings;
  readonly #device;

  constructor(surroundings: StreamSurroundings) {
    this.#with = surroundings;
    this.#device = prepare<{ account: AccountId; generation: number }>(
      surroundings.db,
      'SELECT account, generation FROM devices WHERE app = ? AND device = ?',
    );
  }

  settle(settle: Settle): SettleOutcome {
    const { app, device, lane, offset } = settle;
    if (this.#device.one(app, device)?.generation !== settle.generation) return { counted: false, satisfied: NOTHING };
    const stream = this.#with.rows.find({ app, kind: 'device', device, lane });
    if (stream === null || !isWithin(stream.history, stream.head, settle))
      return { counted: false, satisfied: NOTHING };
    if (offset <= stream.floor) return { counted: true, satisfied: NOTHING };
    const above = stream.floor;
    stream.floor = offset;
    const satisfied = this.#endUpTo(stream, above, settle);
    this.#with.rows.save(stream);
    return { counted: true, satisfied };
  }

  /** Ends the entries within (above, offset]: acked, but those that had expired by now. Answers ids that settle others. */
  #endUpTo(stream: Stream, above: number, { app, offset, gateway }: Settle): readonly MessageId[] {
    const { rows, ledger, clock } = this.#with;
    const taken = rows.takeUpTo(stream, offset);
    if (taken.length === 0) return NOTHING;
    const atMs = clock.nowMs();
    let expired = 0;
    let satisfied = NOTHING;
    for (const entry of taken) {
      if (entry.expires_at > 0 && entry.expires_at <= atMs) {
        expired++;
        rows.end(stream, entry.offset, { state: 'expired', atMs });
      } else if (entry.satisfies !== null) satisfied = [...satisfied, entry.satisfies];
    }
    rows.endAcked(stream, { above, upTo: offset }, { atMs, gateway });
    ledger.count(app, 'acked', taken.length - expired);
    ledger.count(app, 'expired', expired);
    return satisfied;
  }

  settleEntry(settle: EntrySettle): EntrySettleOutcome {
    const { app, device, lane, generation } = settle;
    const row = this.#device.one(app, device);
    if (generation !== null && row?.generation !== generation) return { kind: 'stale' };
    const stream = row === undefined ? null : this.#with.rows.find({ app, kind: 'device', device, lane });
    if (stream === null) return UNKNOWN;
    const known = this.#asked(stream, settle.entry);
    if (known === undefined) return UNKNOWN;
    if (known.state !== null) return known.state === '' ? UNKNOWN : { kind: 'ended', state: endOf(known.state) };
    const entry = this.#with.rows.entry(stream, known.offset);
    return entry === undefined ? UNKNOWN : this.#end({ stream, entry, known, account: row!.account }, settle);
  }

  /** What is known of the entry that is meant. */
  #asked(stream: Stream, entry: EntrySettle['entry']): Known | undefined {
    if ('messageId' in entry) return this.#remembered(stream, entry.messageId);
    const { history, head } = stream;
    const index = history.findIndex((span) => span.epoch === entry.epoch);
    if (index < 0 || entry.offset > head || epochIndexOf(history, entry.offset) !== index) return undefined;
    return this.#with.rows.knownAt(stream, entry.offset);
  }
  #remembered(stream: Stream, messageId: MessageId): Known | undefined {
    const { rows, clock, limits } = this.#with;
    const known = rows.known(stream, messageId);
    return known !== undefined && isRemembered(known, { stream, nowMs: clock.nowMs(), limits }) ? known : undefined;
  }

  #end(
    found: { stream: Stream; entry: EndedColumns & RecordColumns; known: Known; account: AccountId },
    settle: EntrySettle,
  ): EntrySettleOutcome {
    const { rows, ledger, clock, letters } = this.#with;
    const { stream, entry, known, account } = found;
    const { app, device, state, gateway } = settle;
    const { offset } = entry;
    const epoch = epochAt(stream, offset);
    if (state === 'dead') {
      // The dead letter first, then it ends; both in this transaction (R9).
      letters.put({
        app,
        device,
        account,
        stream: `@${settle.lane}`,
        epoch,
        offset,
        messageId: known.message_id,
        reason: settle.reason ?? '',
        attempts: settle.attempts ?? 0,
        state: settle.held === true ? 'held' : 'dead',
        record: entry.record,
      });
    }
    rows.drop(stream, entry);
    rows.end(stream, offset, { state, atMs: clock.nowMs(), ...(gateway === undefined ? {} : { gateway }) });
    rows.save(stream);
    ledger.count(app, counterOf(state), 1);
    const satisfied = state === 'acked' && entry.satisfies !== null ? [entry.satisfies] : NOTHING;
    return { kind: 'settled', epoch, offset, satisfied };
  }

  state(app: AppId, delivery: { device: DeviceId; lane: Lane; messageId: MessageId }): DeliveryState {
    const { device, lane, messageId } = delivery;
    const stream = this.#with.rows.find({ app, kind: 'device', device, lane });
    const known = stream === null ? undefined : this.#remembered(stream, messageId);
    if (stream === null || known === undefined || known.state === '') return { state: 'unknown' };
    const place = { epoch: epochAt(stream, known.offset), offset: known.offset };
    if (known.state === null) return { state: 'waiting', ...place };
    return { state: endOf(known.state), atMs: known.at, gateway: known.gateway, ...place };
  }

  /** Attempts of an entry that is held, in the device's present session. */
  saveAttempts({ app, device, epoch, offset, generation, attempts }: Attempts, lane: Lane): void {
    if (this.#device.one(app, device)?.generation !== generation) return;
    const stream = this.#with.rows.find({ app, kind: 'device', device, lane });
    if (stream === null || epochAt(stream, offset) !== epoch) return;
    if (this.#with.rows.entry(stream, offset) === undefined) return;
    stream.attempts = attempts;
    stream.attempts_offset = offset;
    this.#with.rows.save(stream);
  }
}

function epochAt(stream: Stream, offset: number): Epoch {
  return stream.history[epochIndexOf(stream.history, offset)]!.epoch;
}
function endOf(state: KnownState): EndState {
  return state === 'overflow' ? 'dead' : state;
}
