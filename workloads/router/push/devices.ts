// A durable message to a few devices at once: one device, or those of an account. Appended and its row stored in one trip with whatever
// else leaves in this tick; then the gateways are told. Lists go through expansion.ts.
import type { DeviceId } from '../../protocol/ids.ts';
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

export class DeviceSender {
  readonly #options: DeviceSenderOptions;
  readonly #appends: Collector<Append, AppendOutcome>;
  readonly #rows: Collector<Message, void>;
  constructor(options: DeviceSenderOptions) {
    const { store } = options;
    this.#options = options;
    this.#appends = openCollector({ questionsMax: APPENDS_MAX, run: (appends) => store.append(appends) });
    this.#rows = openCollector<Message, void>({
      questionsMax: APPENDS_MAX,
      run: async (rows) => {
        await store.putMessages(rows, []);
        return [];
      },
    });
  }

  /** One append, together with what else leaves in this tick. */
  append(append: Append): Promise<AppendOutcome> {
    return this.#appends.ask(append);
  }
  /** Keeps the row of a message. */
  keep(row: Message): Promise<void> {
    return this.#rows.ask(row);
  }

  /** Rejects as the store does. */
  async send(out: Outgoing, devices: readonly DeviceId[], overflow: 'refuse' | 'dead-letter'): Promise<DevicesSent> {
    const shared = devices.length >= SHARED_BODY_DEVICES_MIN && isBodyLarge(out.record);
    const row = rowOf(out, { state: 'accepted', recipients: devices.length, withRecord: shared });
    if (shared) await this.keep(row); // the body before the entries that point to it
    const record = shared ? withoutBody(out.record) : out.record;
    const appends = devices.map((device) => this.append(appendOf(out, { device, record, overflow })));
    const [outcomes] = await Promise.all([Promise.all(appends), shared ? undefined : this.keep(row)]);
    const stored: { device: DeviceId; at: Appended }[] = [];
    const refused: RefusedDevice[] = [];
    const dead: DeviceId[] = [];
    outcomes.forEach((at, i) => {
      const device = devices[i]!;
      if (at.kind === 'appended') stored.push({ device, at });
      else if (at.kind === 'dead') dead.push(device);
      else refused.push({ device, code: at.reason });
    });
    const presences = await Promise.all(stored.map(({ device, at }) => this.#tell(out, device, at)));
    await this.#notice(out, {
      dead,
      offline: stored.flatMap((s, i) => (presences[i] === 'offline' ? [s.device] : [])),
    });
    return {
      stored: stored.map(({ device, at }) => ({
        device,
        stream: `@${out.lane}`,
        epoch: at.epoch,
        offset: at.offset,
      })),
      refused,
      dead,
      online: onlineAmong(presences),
    };
  }

  #tell(out: Outgoing, device: DeviceId, at: Appended): Promise<Presence> {
    const { app, lane, record } = out;
    const { epoch, offset, prev, account = '' as const } = at;
    const place = { device, lane, epoch, offset, prev, account };
    return this.#options.hints.tellDevice({ kind: 'deliver-device', app, record, ...place });
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
