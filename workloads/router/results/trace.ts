// What happened to one message or one device, in order of time: what the store keeps for good (accepted, appended, ended, dead letters)
// and what gateways still have in their rings. Facts that are gone are missing, and gateways that stayed silent are named.
import type { AppId, DeviceId, GatewayName, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { LANES } from '../../protocol/streams.ts';
import type { Message, Store } from '../../store/port.ts';
import type { Hints } from '../delivery/hints.ts';
import type { Result, Results } from './results.ts';

export interface TraceEvent {
  readonly atMs: number;
  readonly event: string;
  readonly device?: DeviceId;
  readonly gateway?: GatewayName;
  readonly stream?: string;
  readonly epoch?: string;
  readonly offset?: number;
  readonly messageId?: MessageId;
  readonly attempt?: number;
  readonly detail?: string;
}
export interface TraceAnswer {
  /** Oldest first. */
  readonly events: readonly TraceEvent[];
  readonly silent: readonly GatewayName[];
}
export interface TraceOptions {
  readonly store: Pick<Store, 'device' | 'deadLetters' | 'read'>;
  readonly hints: Pick<Hints, 'askGateways'>;
  readonly results: Results;
}

/** Devices of a message whose facts the store is asked for. */
export const TRACED_DEVICES_MAX = 100;
const LETTERS_MAX = 500;

/** @param device only what concerns it; null: the first TRACED_DEVICES_MAX. Rejects with RefusedError 'message-unknown'. */
export async function traceMessage(
  options: TraceOptions,
  app: AppId,
  of: { readonly id: MessageId; readonly device: DeviceId | null },
): Promise<TraceAnswer> {
  const { id, device } = of;
  const row = await options.results.message(app, id);
  const rings = askRings(options, app, { messageId: id });
  const page = await options.results.page(row, { cursor: null, limit: TRACED_DEVICES_MAX });
  const results = device === null ? page.results : await options.results.deviceOf(row, device);
  const facts = [acceptedAt(row), ...results.flatMap((result) => endOf(row, result))];
  const letters = await Promise.all(
    results.filter(({ state }) => state === 'dead').map((result) => lettersOf(options, app, result.device)),
  );
  const dead = letters.flat().filter((event) => event.messageId === id);
  return await merge([...facts, ...dead], rings, device);
}

/** What the store holds for the device now, and what gateways saw of it. */
export async function traceDevice(options: TraceOptions, app: AppId, device: DeviceId): Promise<TraceAnswer> {
  const rings = askRings(options, app, { device });
  const events: TraceEvent[] = [];
  const info = await options.store.device(app, device);
  if (info?.route != null)
    events.push({ atMs: info.route.connectedAtMs, event: 'route', device, gateway: info.route.gateway });
  events.push(...(await waitingOf(options, app, device)), ...(await lettersOf(options, app, device)));
  return await merge(events, rings, device);
}

function acceptedAt(row: Message): TraceEvent {
  const detail = row.dueAtMs > 0 ? `scheduled for ${new Date(row.dueAtMs).toISOString()}` : `to ${row.target.kind}`;
  return { atMs: row.acceptedAtMs, event: 'accepted', messageId: row.id, detail };
}

function endOf(row: Message, { device, state, delivery }: Result): readonly TraceEvent[] {
  if (delivery === null) return [];
  const at = { device, messageId: row.id, stream: `@${row.lane}`, epoch: delivery.epoch, offset: delivery.offset };
  const appended = { atMs: Math.max(row.acceptedAtMs, row.dueAtMs), event: 'appended', ...at };
  if (delivery.state === 'waiting') return [appended];
  const gateway = delivery.gateway === null ? {} : { gateway: delivery.gateway };
  return [appended, { atMs: delivery.atMs, event: `ended-${state}`, ...at, ...gateway }];
}

async function lettersOf({ store }: TraceOptions, app: AppId, device: DeviceId): Promise<readonly TraceEvent[]> {
  const { letters } = await store.deadLetters(app, { cursor: null, limit: LETTERS_MAX, device });
  return letters.map(({ atMs, messageId, stream, epoch, offset, attempts, reason, state }) => ({
    atMs,
    event: state === 'held' ? 'dead-letter-held' : 'dead-letter',
    device,
    messageId,
    stream,
    epoch,
    offset,
    attempt: attempts,
    detail: reason,
  }));
}

async function waitingOf({ store }: TraceOptions, app: AppId, device: DeviceId): Promise<readonly TraceEvent[]> {
  const reads = await store.read(
    LANES.map((lane) => ({
      stream: { app, kind: 'device', device, lane },
      after: null,
      entriesMax: LIMITS.readEntriesMax,
    })),
  );
  return reads.flatMap((read, i) =>
    read.entries.map((entry) => {
      const { id, publishedAtMs } = decodeRecord(entry.record);
      const place = { stream: `@${LANES[i]!}`, epoch: read.epoch ?? '', offset: entry.offset };
      return { atMs: publishedAtMs, event: 'waiting', device, messageId: id, ...place };
    }),
  );
}

interface Rings {
  readonly events: readonly TraceEvent[];
  readonly silent: readonly GatewayName[];
}

/** Every gateway's ring; a reply that is none of ours counts as silence. */
async function askRings({ hints }: TraceOptions, app: AppId, question: object): Promise<Rings> {
  const { replies, silent } = await hints.askGateways('trace', { app, body: Buffer.from(JSON.stringify(question)) });
  const events: TraceEvent[] = [];
  const odd: GatewayName[] = [];
  for (const { gateway, status, body } of replies) {
    if (status !== 200) {
      odd.push(gateway);
      continue;
    }
    const answer = JSON.parse(Buffer.from(body).toString()) as { events: readonly (TraceEvent & { app?: AppId })[] };
    for (const { app: _, ...event } of answer.events) events.push({ ...event, gateway });
  }
  return { events, silent: [...silent, ...odd] };
}

async function merge(
  facts: readonly TraceEvent[],
  rings: Promise<Rings>,
  device: DeviceId | null,
): Promise<TraceAnswer> {
  const { events, silent } = await rings;
  const all = [...facts, ...events].filter((event) => device === null || (event.device ?? device) === device);
  return { events: all.toSorted((a, b) => a.atMs - b.atMs), silent };
}
