// Deliveries that come over the bus, since a router's link to this gateway fails (C7). Every gateway reads all of the topic with a group of
// its own, from its newest record, and passes over what its headers say is for others before a value is touched (C6); what is for it goes
// the way of link frames, and nobody is answered. role.ts starts it; it is tried again until it stands.
import { BUS_TOPICS } from '../../bus/port.ts';
import type { Bus, BusConsumer, ReceivedRecord } from '../../bus/port.ts';
import { decodeBroadcast, isBroadcastFor } from '../../link/broadcast-record.ts';
import type { BroadcastFrame } from '../../link/broadcast-record.ts';
import { LinkFrameError } from '../../link/frame-kinds.ts';
import { takeDelivery } from './link-frames.ts';
import type { Gateway } from '../gateway.ts';

const BACKOFF_START_MS = 500;
const BACKOFF_MAX_MS = 30_000;

/** No link brought it. */
const NOBODY = { send: (): void => {} };

export class BroadcastConsumer {
  readonly #gateway: Gateway;
  readonly #bus: Bus;
  #consumer: BusConsumer | null = null;
  #cancelRetry = (): void => {};
  #failures = 0;
  #stopped = false;

  constructor(gateway: Gateway, bus: Bus) {
    this.#gateway = gateway;
    this.#bus = bus;
  }

  /** Whether the bus has let it in. */
  get isStanding(): boolean {
    return this.#consumer !== null;
  }

  start(): void {
    void this.#begin();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry();
    await this.#consumer?.stop();
  }

  async #begin(): Promise<void> {
    const { bootId, log, clock, random } = this.#gateway;
    try {
      const consumer = await this.#bus.consume({
        topics: [BUS_TOPICS.broadcast],
        group: `broadcast-${bootId}`,
        from: 'newest',
        accepts: (headers) => this.#accepts(headers),
        handler: (batch) => this.#take(batch),
      });
      this.#failures = 0;
      if (this.#stopped) await consumer.stop();
      else this.#consumer = consumer;
    } catch (error) {
      if (this.#stopped) return;
      // Full jitter: gateways that lost the bus together do not come back to it together.
      const waitMs = Math.ceil(
        random() * Math.min(BACKOFF_MAX_MS, BACKOFF_START_MS * 2 ** Math.min(this.#failures++, 10)),
      );
      log.warn({ waitMs, problem: String(error) }, 'broadcasts not consumed, again later');
      this.#cancelRetry = clock.after(waitMs, () => void this.#begin());
    }
  }

  #accepts(headers: Readonly<Record<string, string>>): boolean {
    const { bootId, clock, directory, counts } = this.#gateway;
    const isOurs = isBroadcastFor(headers, {
      bootId,
      nowMs: clock.nowMs(),
      has(app, device) {
        const here = directory.find(app);
        return here !== null && (here.devices.has(device) || here.opening.has(device));
      },
    });
    if (!isOurs) counts.broadcasts.passed++;
    return isOurs;
  }

  #take(batch: readonly ReceivedRecord[]): Promise<void> {
    const { bootId, counts } = this.#gateway;
    for (const record of batch) {
      counts.broadcasts.taken++;
      for (const frame of this.#decode(record, bootId)) takeDelivery(this.#gateway, NOBODY, frame);
    }
    return Promise.resolve();
  }

  /** One that is not readable is passed over: it would come again for ever. */
  #decode(record: ReceivedRecord, bootId: Gateway['bootId']): readonly BroadcastFrame[] {
    try {
      return decodeBroadcast(record.value, bootId);
    } catch (error) {
      if (!(error instanceof LinkFrameError)) throw error;
      this.#gateway.counts.invalidRecords++;
      this.#gateway.log.error({ offset: record.offset, problem: error.message }, 'broadcast not readable');
      return [];
    }
  }
}
