// What waits for a device: of each of its lanes how many messages, the first of them, and where the stream's end is.
import { RefusedError } from '../../protocol/codes.ts';
import type { AppId, DeviceId, MessageId } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeRecord } from '../../protocol/record.ts';
import { LANES } from '../../protocol/streams.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { ReadOutcome, Store, StreamRead } from '../../store/port.ts';

export interface LaneWaiting {
  readonly stream: `@${Lane}`;
  readonly epoch: string | null;
  readonly head: number;
  readonly waiting: number;
  /** The first that wait, at most MESSAGES_SHOWN_MAX. */
  readonly messages: readonly { readonly id: MessageId; readonly offset: number; readonly publishedAt: string }[];
}

export const MESSAGES_SHOWN_MAX = 100;

/** Rejects with RefusedError 'device-unknown'. Cost: what waits is read, at most LIMITS.deviceStreamBytesMax of each lane. */
export async function waitingFor(
  store: Pick<Store, 'read' | 'device'>,
  app: AppId,
  device: DeviceId,
): Promise<{ readonly device: DeviceId; readonly waiting: number; readonly lanes: readonly LaneWaiting[] }> {
  if ((await store.device(app, device)) === null)
    throw new RefusedError('device-unknown', `device: ${device} never registered`, { field: 'device' });
  const lanes = await Promise.all(LANES.map((lane) => laneWaiting(store, { app, device, lane })));
  return { device, waiting: lanes.reduce((sum, { waiting }) => sum + waiting, 0), lanes };
}

async function laneWaiting(
  store: Pick<Store, 'read'>,
  { app, device, lane }: { readonly app: AppId; readonly device: DeviceId; readonly lane: Lane },
): Promise<LaneWaiting> {
  const stream = { app, kind: 'device', device, lane } as const;
  const messages: { id: MessageId; offset: number; publishedAt: string }[] = [];
  let waiting = 0;
  let after: StreamRead['after'] = null;
  for (;;) {
    const [read] = (await store.read([{ stream, after, entriesMax: LIMITS.readEntriesMax }])) as [ReadOutcome];
    waiting += read.entries.length;
    for (const { offset, record } of read.entries.slice(0, MESSAGES_SHOWN_MAX - messages.length)) {
      const { id, publishedAtMs } = decodeRecord(record);
      messages.push({ id, offset, publishedAt: new Date(publishedAtMs).toISOString() });
    }
    const last = read.entries.at(-1);
    if (read.complete || last === undefined || read.epoch === null)
      return { stream: `@${lane}`, epoch: read.epoch, head: read.head, waiting, messages };
    after = { epoch: read.epoch, offset: last.offset };
  }
}
