// Upstream messages on their way to the bus: all of a tick in one publish, in order for each device; `taken` answers once the bus has
// them. Without a bus, or when it does not take them, the client is told and sends again with the same key.
import { BUS_TOPICS } from '../bus/port.ts';
import type { Bus, BusRecord } from '../bus/port.ts';
import type { UpstreamFrame } from '../protocol/frames.ts';
import type { Connection } from './connection.ts';
import type { Gateway } from './gateway.ts';

/** Messages that may wait, over all clients; at 64 KiB each this is the worst 128 MiB. */
export const UPSTREAM_WAITING_MAX = 2000;
const RECORDS_PER_PUBLISH = 500;
const RETRY_AFTER_MS = 1000;

interface Waiting {
  readonly connection: Connection;
  readonly id: number;
  readonly record: BusRecord;
}

export class Upstream {
  readonly #gateway: Gateway;
  readonly #bus: Bus | null;
  #waiting: Waiting[] = [];
  #publishing = false;
  #armed = false;

  constructor(gateway: Gateway, bus: Bus | null) {
    this.#gateway = gateway;
    this.#bus = bus;
  }

  take(connection: Connection, frame: UpstreamFrame): void {
    if (this.#bus === null) return refuse(connection, frame.id, 'no bus is configured');
    if (this.#waiting.length >= UPSTREAM_WAITING_MAX) return refuse(connection, frame.id, 'too many messages wait');
    this.#waiting.push({ connection, id: frame.id, record: this.#recordOf(connection, frame) });
    if (this.#armed || this.#publishing) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      void this.#publish(this.#bus!);
    });
  }

  #recordOf(connection: Connection, frame: UpstreamFrame): BusRecord {
    const { app, account, device } = connection.session!.permission;
    const { name, clock } = this.#gateway;
    return {
      topic: BUS_TOPICS.upstream,
      key: `${app}/${device}`,
      headers: {
        app,
        account,
        device,
        gateway: name,
        kind: frame.kind,
        key: frame.key,
        receivedAtMs: String(clock.nowMs()),
      },
      value: Buffer.from(JSON.stringify(frame.body)),
    };
  }

  async #publish(bus: Bus): Promise<void> {
    this.#publishing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, RECORDS_PER_PUBLISH);
      this.#waiting = this.#waiting.slice(batch.length);
      try {
        await bus.publish(batch.map(({ record }) => record));
        this.#gateway.counts.upstreamTaken += batch.length;
        for (const { connection, id } of batch) connection.send({ type: 'taken', id });
      } catch (error) {
        this.#gateway.log.warn({ records: batch.length, problem: String(error) }, 'upstream messages not published');
        for (const { connection, id } of batch) refuse(connection, id, 'the bus did not take it');
      }
    }
    this.#publishing = false;
  }
}

function refuse(connection: Connection, id: number, message: string): void {
  connection.send({ type: 'error', id, code: 'upstream-unavailable', message, retryAfterMs: RETRY_AFTER_MS });
}
