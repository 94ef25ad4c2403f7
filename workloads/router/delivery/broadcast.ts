// Deliveries to gateways whose link fails, over the bus (C7): those of a tick in one publish, those of one stream in their order, device ids
// in the headers (C6). No answer comes back: a durable one that is lost is found by the gateway's position check. gateway-path.ts
// sends here; what the bus does not take goes back to it.
import { BROADCAST_DEVICES_MAX, encodeBroadcast } from '../../link/broadcast-record.ts';
import type { BroadcastFrame } from '../../link/broadcast-record.ts';
import type { Bus, BusRecord } from '../../bus/port.ts';
import type { BootId, DeviceId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { countOf, isLive } from './gateway-link.ts';
import type { Delivery } from './gateway-link.ts';
import { deviceStream, topicStream } from './owners.ts';

export interface BroadcastOptions {
  readonly bus: Pick<Bus, 'publish' | 'health'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Devices and topics the bus has taken. */
  onDiverted(count: number): void;
  onFailure(): void;
}

/** Deliveries that wait for the bus, by number and by bytes of their records. */
export const BROADCAST_WAITING_MAX = 20_000;
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
const RECORDS_PER_PUBLISH = 1000;
const RECORD_BYTES_MAX = 256 * 1024;

interface Waiting {
  readonly delivery: Delivery;
  readonly boots: BootId[];
  readonly onRefused: ((boot: BootId) => void)[];
}

export class Broadcast {
  readonly #options: BroadcastOptions;
  #waiting: Waiting[] = [];
  #count = 0;
  #bytes = 0;
  #publishing = false;
  #armed = false;

  constructor(options: BroadcastOptions) {
    this.#options = options;
  }

  /** Whether the bus answers and there is room. */
  get isOpen(): boolean {
    return (
      this.#count < BROADCAST_WAITING_MAX && this.#bytes < WAITING_BYTES_MAX && this.#options.bus.health().reachable
    );
  }

  /** Takes a delivery for one gateway; the same topic delivery for another one after it goes in the same record. `onRefused`: not taken. */
  send(delivery: Delivery, boot: BootId, onRefused: (boot: BootId) => void): void {
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.delivery === delivery && delivery.kind === 'deliver-topic') {
      last.boots.push(boot);
      last.onRefused.push(onRefused);
      return;
    }
    this.#waiting.push({ delivery, boots: [boot], onRefused: [onRefused] });
    this.#count += countOf(delivery);
    this.#bytes += delivery.record.length;
    if (this.#armed || this.#publishing) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      void this.#publishAll();
    });
  }

  /** One publish at a time, or the order of a stream would be the network's. */
  async #publishAll(): Promise<void> {
    this.#publishing = true;
    const { bus, log, clock } = this.#options;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, RECORDS_PER_PUBLISH);
      for (const { delivery } of batch) {
        this.#count -= countOf(delivery);
        this.#bytes -= delivery.record.length;
      }
      try {
        await bus.publish(recordsOf(batch, clock.nowMs()), 'leader');
        this.#options.onDiverted(batch.reduce((sum, { delivery, boots }) => sum + countOf(delivery) * boots.length, 0));
      } catch (error) {
        this.#options.onFailure();
        log.warn({ problem: String(error), deliveries: batch.length }, 'the bus did not take deliveries');
        for (const { boots, onRefused } of batch) boots.forEach((boot, i) => onRefused[i]!(boot));
      }
    }
    this.#publishing = false;
  }
}

/** Deliveries in their order → records; neighbours with the same address share one. */
function recordsOf(batch: readonly Waiting[], sentAtMs: number): readonly BusRecord[] {
  const records: BusRecord[] = [];
  let open: { key: string; first: Waiting; devices: Set<DeviceId>; frames: BroadcastFrame[]; bytes: number } | null =
    null;
  const close = (): void => {
    if (open === null) return;
    const { key, first, devices, frames } = open;
    const { delivery, boots } = first;
    const gateways = delivery.kind === 'deliver-topic' ? boots : [];
    records.push(
      encodeBroadcast(
        { key, app: delivery.app, gateways, devices: [...devices], sentAtMs, live: isLive(delivery) },
        frames,
      ),
    );
    open = null;
  };
  for (const waiting of batch) {
    const { delivery, boots } = waiting;
    const key = keyOf(delivery, boots[0]!);
    if (open !== null && !canJoin(open, waiting, key)) close();
    open ??= { key, first: waiting, devices: new Set(), frames: [], bytes: 0 };
    for (const device of devicesOf(delivery)) open.devices.add(device);
    open.frames.push({ ...delivery, seq: 0 });
    open.bytes += delivery.record.length;
  }
  close();
  return records;
}

function canJoin(
  open: { key: string; first: Waiting; devices: ReadonlySet<DeviceId>; bytes: number },
  next: Waiting,
  key: string,
): boolean {
  const { delivery, boots } = next;
  return (
    open.key === key &&
    isLive(open.first.delivery) === isLive(delivery) &&
    open.bytes + delivery.record.length <= RECORD_BYTES_MAX &&
    open.devices.size + countOf(delivery) <= BROADCAST_DEVICES_MAX &&
    open.first.boots.join() === boots.join()
  );
}

function keyOf(delivery: Delivery, boot: BootId): string {
  switch (delivery.kind) {
    case 'deliver-topic':
      return topicStream(delivery.app, delivery.topic);
    case 'deliver-device':
      return deviceStream(delivery.app, delivery.device);
    case 'deliver-many':
      return `${delivery.app}/m/${boot}`; // durable: positions keep the order of each device
  }
}
function devicesOf(delivery: Delivery): readonly DeviceId[] {
  switch (delivery.kind) {
    case 'deliver-topic':
      return [];
    case 'deliver-device':
      return [delivery.device];
    case 'deliver-many':
      return delivery.rows.map(({ device }) => device);
  }
}
