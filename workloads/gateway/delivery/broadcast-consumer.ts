// Deliveries that come over the bus, since a router's link to this gateway fails (C7). Every gateway reads all of the topic with a group of
// its own, from its newest record, and passes over what its headers say is for others before a value is touched (C6); what is for it goes
// the way of link frames, and nobody is answered. role.ts starts it; it is tried again until it stands.
import { BUS_TOPICS } from '../../bus/port.ts';
import type { Bus, ReceivedRecord } from '../../bus/port.ts';
import { StandingConsumer } from '../../bus/standing-consumer.ts';
import { decodeBroadcast, isBroadcastFor } from '../../link/broadcast-record.ts';
import type { BroadcastFrame } from '../../link/broadcast-record.ts';
import { LinkFrameError } from '../../link/frame-kinds.ts';
import { takeDelivery } from './link-frames.ts';
import type { Gateway } from '../gateway.ts';

/** No link brought it. */
const NOBODY = { send: (): void => {} };

export class BroadcastConsumer {
  readonly #gateway: Gateway;
  readonly #consumer: StandingConsumer;

  constructor(gateway: Gateway, bus: Bus) {
    this.#gateway = gateway;
    const { bootId, clock, log, random } = gateway;
    this.#consumer = new StandingConsumer({
      bus,
      consume: {
        topics: [BUS_TOPICS.broadcast],
        group: `broadcast-${bootId}`,
        from: 'newest',
        isOfOneLife: true,
        accepts: (headers) => this.#accepts(headers),
        handler: (batch) => this.#take(batch),
      },
      clock,
      log,
      random,
      refused: 'broadcasts not consumed',
    });
  }

  /** Whether the bus has let it in. */
  get isStanding(): boolean {
    return this.#consumer.isStanding;
  }

  start(): void {
    this.#consumer.start();
  }

  stop(): Promise<void> {
    return this.#consumer.stop();
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
