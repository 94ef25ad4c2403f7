// A durable message to a few devices at once: one device, or those of an account. Appended and its row stored in one trip with whatever
// else leaves in this tick; then the gateways are told. Lists go through expansion.ts.
import type { DeviceId } from '../../protocol/ids.ts';
import { PartlyUnavailableError } from '../../store/port.ts';
import type { Append, AppendOutcome, Message, Store } from '../../store/port.ts';
import { openCollector } from '../delivery/collector.ts';
import type { Collector } from '../delivery/collector.ts';
import type { RouterCounts } from '../counts.ts';
import type { Hints, Presence } from '../delivery/hints.ts';
import type { AcceptedPosition, RefusedDevice } from './accepted.ts';
import { SHARED_BODY_DEVICES_MIN, isBodyLarge, rowOf, withoutBody } from './compose.ts';
import type { Outgoing } from './compose.ts';
import type { Notices } from './notices.ts';

/** Appends and rows in one trip: about 1 MiB at 1 KB each. */
const APPENDS_MAX = 1000;

type Appended = Extract<AppendOutcome, { kind: 'appended' }>;

export interface DevicesSent {
  readonly stored: readonly AcceptedPosition[];
  readonly refused: readonly RefusedDevice[];
  /** Accepted, and dead-lettered at once: their streams were full. */
  readonly dead: readonly DeviceId[];
  /** Of the stored, how many seem to be online; null where it is not known. */
  readonly online: number | null;
}

export interface DeviceSenderOptions {
  readonly store: Pick<Store, 'append' | 'putMessages'>;
  readonly hints: Hints;
  readonly notices: Notices;
  readonly counts: RouterCounts;
}

interface Entry {
  readonly append: Append;
  /** The row of its message, kept in the same tick; null: someone else keeps it. */
  readonly row: Message | null;
}

export class DeviceSender {
  readonly #options: DeviceSenderOptions;
  readonly #entries: Collector<Entry, AppendOutcome>;
  constructor(options: DeviceSenderOptions) {
    const { store } = options;
    this.#options = options;
    this.#entries = openCollector({ questionsMax: APPENDS_MAX, run: (entries) => storeEntries(store, entries) });
  }

  /** One append and the row of its message, together with what else leaves in this tick; resolves when both are stored. */
  append(append: Append, row: Message | null): Promise<AppendOutcome> {
    return this.#entries.ask({ append, row });
  }

  /** Rejects as the store does. */
  async send(out: Outgoing, devices: readonly DeviceId[], overflow: 'refuse' | 'dead-letter'): Promise<DevicesSent> {
    const outcomes = await this.#store(out, devices, overflow);
    const stored: AcceptedPosition[] = [];
    const refused: RefusedDevice[] = [];
    const dead: DeviceId[] = [];
    const told: Promise<Presence>[] = [];
    outcomes.forEach((at, i) => {
      const device = devices[i]!;
      if (at.kind === 'refused') return void refused.push({ device, code: at.reason });
      if (at.kind === 'dead') return void dead.push(device);
      stored.push({ device, stream: `@${out.lane}`, epoch: at.epoch, offset: at.offset });
      told.push(this.#tell(out, device, at));
    });
    const presences = told.length === 1 ? [await told[0]!] : await Promise.all(told);
    const offline = stored.flatMap(({ device }, i) => (presences[i] === 'offline' ? [device!] : []));
    if (dead.length + offline.length > 0) await this.#notice(out, { dead, offline });
    return { stored, refused, dead, online: onlineAmong(presences) };
  }

  /** One device is nearly all of the traffic: its row goes with its append, and there is one promise for both. */
  async #store(
    out: Outgoing,
    devices: readonly DeviceId[],
    overflow: 'refuse' | 'dead-letter',
  ): Promise<readonly AppendOutcome[]> {
    const shared = devices.length >= SHARED_BODY_DEVICES_MIN && isBodyLarge(out.record);
    const row = rowOf(out, { state: 'accepted', recipients: devices.length, withRecord: shared });
    if (shared) await this.#options.store.putMessages([row], []); // the body before the entries that point to it
    const record = shared ? withoutBody(out.record) : out.record;
    const entries = devices.map((device, i) =>
      this.append(appendOf(out, { device, record, overflow }), i === 0 && !shared ? row : null),
    );
    return entries.length === 1 ? [await entries[0]!] : await Promise.all(entries);
  }

  #tell(out: Outgoing, device: DeviceId, at: Appended): Promise<Presence> {
    const { app, lane, record } = out;
    const { epoch, offset, prev } = at;
    return this.#options.hints.tellDevice({ kind: 'deliver-device', app, device, lane, epoch, offset, prev, record });
  }

  /** The message is stored: that nobody could be told of it is counted, and no reason to refuse it. */
  async #notice(out: Outgoing, of: { dead: readonly DeviceId[]; offline: readonly DeviceId[] }): Promise<void> {
    const { notices, counts } = this.#options;
    try {
      await notices.dead(out, of.dead);
      await notices.waiting(out, of.offline);
    } catch {
      counts.noticesLost += of.dead.length + of.offline.length;
    }
  }
}

/** Appends and rows side by side, which the store sends in one trip: where some of these fail, it is the affair of their pushes alone. */
async function storeEntries(
  store: DeviceSenderOptions['store'],
  entries: readonly Entry[],
): Promise<readonly (AppendOutcome | Error)[]> {
  const rows = entries.flatMap(({ row }) => (row === null ? [] : [row]));
  const [appended, kept] = await Promise.allSettled([
    store.append(entries.map(({ append }) => append)),
    rows.length === 0 ? undefined : store.putMessages(rows, []),
  ]);
  if (appended.status === 'fulfilled' && kept.status === 'fulfilled') return appended.value;
  let at = 0;
  return entries.map(({ row }, i) => {
    const rowFailure = row === null ? null : failureAt(kept, at++);
    return rowFailure ?? failureAt(appended, i) ?? outcomeAt(appended, i);
  });
}

/** Why the outcome of one of a trip is unknown; null: it is known. */
function failureAt(trip: PromiseSettledResult<unknown>, index: number): Error | null {
  if (trip.status === 'fulfilled') return null;
  const error = trip.reason as Error;
  return error instanceof PartlyUnavailableError && error.outcomes[index] !== null ? null : error;
}

/** Of one that did not fail. */
function outcomeAt(trip: PromiseSettledResult<readonly AppendOutcome[]>, index: number): AppendOutcome {
  if (trip.status === 'fulfilled') return trip.value[index]!;
  return (trip.reason as PartlyUnavailableError<AppendOutcome>).outcomes[index]!;
}

/** The append of a message to one device's stream. */
export function appendOf(
  out: Pick<Outgoing, 'app' | 'id' | 'lane' | 'expiresAtMs' | 'collapseKey'>,
  to: { readonly device: DeviceId; readonly record: Uint8Array; readonly overflow: 'refuse' | 'dead-letter' },
): Append {
  const { app, id, lane, expiresAtMs, collapseKey } = out;
  return {
    stream: { app, kind: 'device', device: to.device, lane },
    messageId: id,
    record: to.record,
    expiresAtMs,
    overflow: to.overflow,
    ...(collapseKey === null ? {} : { collapseKey }),
  };
}

/** Null as soon as one is not known: a number that may be wrong is worse than none. */
function onlineAmong(presences: readonly Presence[]): number | null {
  if (presences.includes('unknown')) return null;
  return presences.filter((presence) => typeof presence === 'object').length;
}
