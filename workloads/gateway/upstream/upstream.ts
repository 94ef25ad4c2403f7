// Upstream messages on their way to the bus: all of a tick in one publish, in order for each order key; `taken` answers once the bus has
// them. While the bus is away they go to a file (upstream-file.ts), synced before `taken`, and from there to the bus in their order once it
// is back. Without either, or when both are full, the client is told and sends again with the same key; a key that was taken
// lately is not passed on twice (the upstream role does so for good).
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { BUS_TOPICS, BusRecordError } from '../../bus/port.ts';
import type { Bus, BusRecord } from '../../bus/port.ts';
import type { UpstreamFrame } from '../../protocol/frames.ts';
import type { Connection } from '../connect/connection.ts';
import type { Gateway } from '../gateway.ts';
import { UpstreamFile } from './upstream-file.ts';

/** Messages that may wait, over all clients; at 64 KiB each this is the worst 128 MiB. */
export const UPSTREAM_WAITING_MAX = 2000;
/** Keys remembered, over all clients: about 150 bytes each. A client sends again within seconds of a reconnect. */
export const UPSTREAM_KEYS_MAX = 10_000;
const RECORDS_PER_PUBLISH = 500;
const RETRY_AFTER_MS = 1000;
const REPLAY_MS = 1000;

interface Asker {
  readonly connection: Connection;
  readonly id: number;
}
interface Waiting {
  readonly name: string;
  /** Who sent it; the same message may come again over another connection before it was taken. */
  readonly askers: Asker[];
  readonly record: BusRecord;
}

export class Upstream {
  readonly #gateway: Gateway;
  readonly #bus: Bus | null;
  #file: UpstreamFile | null = null;
  #waiting: Waiting[] = [];
  readonly #byName = new Map<string, Waiting>();
  #asking = 0;
  readonly #taken = new Set<string>();
  #publishing = false;
  #armed = false;
  #cancelReplay = (): void => {};
  #replaying: Promise<void> | null = null;
  /** As the last publish found it. */
  #busTakes = true;

  constructor(gateway: Gateway, bus: Bus | null) {
    this.#gateway = gateway;
    this.#bus = bus;
  }

  /** Bytes that wait in files for the bus. */
  get bufferedBytes(): number {
    return this.#file?.bytes ?? 0;
  }

  /** Finds what a former life left, and replays it. Rejects when the folder cannot be used. */
  async open(): Promise<void> {
    const { settings, name, log, clock, random } = this.#gateway;
    if (this.#bus === null || settings.upstreamBufferDir === '') return;
    this.#file = await UpstreamFile.open({
      dir: join(settings.upstreamBufferDir, name),
      bytesMax: settings.upstreamBufferBytesMax,
      topic: BUS_TOPICS.upstream,
      log,
    });
    // Gateways that lost the bus together do not come back to it together.
    this.#cancelReplay = clock.every(Math.ceil(REPLAY_MS * (0.75 + 0.5 * random())), () => this.#replaySoon());
    this.#replaySoon();
  }

  async close(): Promise<void> {
    this.#cancelReplay();
    await this.#replaying;
    await this.#file?.close();
  }

  take(connection: Connection, frame: UpstreamFrame): void {
    if (this.#bus === null) return refuse(connection, frame.id, 'no bus is configured');
    const { app, device } = connection.session!.permission;
    const name = `${app}/${device}/${frame.key}`;
    if (this.#taken.has(name)) {
      this.#gateway.counts.upstreamRepeats++;
      return connection.send({ type: 'taken', id: frame.id });
    }
    if (this.#asking >= UPSTREAM_WAITING_MAX) return refuse(connection, frame.id, 'too many messages wait');
    this.#asking++;
    const known = this.#byName.get(name);
    if (known !== undefined) {
      known.askers.push({ connection, id: frame.id });
      return;
    }
    const record = this.#recordOf(connection, frame);
    const waiting = { name, askers: [{ connection, id: frame.id }], record };
    this.#waiting.push(waiting);
    this.#byName.set(name, waiting);
    this.#soon(this.#bus);
  }

  #recordOf(connection: Connection, frame: UpstreamFrame): BusRecord {
    const { app, account, device } = connection.session!.permission;
    const { name, clock } = this.#gateway;
    return {
      topic: BUS_TOPICS.upstream,
      key: `${app}/${frame.order ?? device}`,
      headers: {
        app,
        account,
        device,
        gateway: name,
        kind: frame.kind,
        key: frame.key,
        receivedAtMs: String(clock.nowMs()),
        traceId: randomUUID().replaceAll('-', ''),
      },
      value: Buffer.from(JSON.stringify(frame.body)),
    };
  }

  #soon(bus: Bus): void {
    if (this.#armed || this.#publishing) return;
    this.#armed = true;
    setImmediate(() => {
      this.#armed = false;
      void this.#publish(bus);
    });
  }

  async #publish(bus: Bus): Promise<void> {
    this.#publishing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, RECORDS_PER_PUBLISH);
      this.#waiting = this.#waiting.slice(batch.length);
      const refusal = await this.#hand(bus, batch);
      for (const { name, askers } of batch) {
        this.#byName.delete(name);
        this.#asking -= askers.length;
        if (refusal === null) this.#remember(name);
        for (const { connection, id } of askers)
          if (refusal === null) connection.send({ type: 'taken', id });
          else refuse(connection, id, refusal, this.#gateway.random());
      }
    }
    this.#publishing = false;
  }

  /** To the bus, or to the file: behind what is there already, or when the bus does not take them. Null: they are kept. */
  async #hand(bus: Bus, batch: readonly Waiting[]): Promise<string | null> {
    const { counts, log } = this.#gateway;
    const records = batch.map(({ record }) => record);
    const file = this.#file;
    if (file === null || (file.isEmpty && bus.health().reachable)) {
      try {
        await bus.publish(records);
        this.#busTakes = true;
        counts.upstreamTaken += batch.length;
        return null;
      } catch (error) {
        this.#busTakes = false;
        log.warn({ records: batch.length, problem: String(error) }, 'upstream messages not published');
        if (file === null || error instanceof BusRecordError) return 'the bus did not take it';
      }
    }
    try {
      if ((await file.append(records)) === 'full') return 'the bus is away and the buffer is full';
      counts.upstreamBuffered += batch.length;
      if (this.#busTakes && bus.health().reachable) this.#replaySoon(); // it went behind the end of a replay
      return null;
    } catch (error) {
      log.error({ records: batch.length, problem: String(error) }, 'upstream messages not written');
      return 'the bus is away and the buffer takes nothing';
    }
  }

  #replaySoon(): void {
    const file = this.#file;
    if (file === null || file.isEmpty || this.#bus === null || this.#gateway.state.ended) return;
    this.#replaying ??= this.#replay(this.#bus, file).finally(() => (this.#replaying = null));
  }

  /** Segment after segment, until none is left or the bus does not take one. */
  async #replay(bus: Bus, file: UpstreamFile): Promise<void> {
    const { counts, log, state } = this.#gateway;
    try {
      while (!file.isEmpty && !state.ended) {
        const records = await file.oldest();
        for (let i = 0; i < records.length; i += RECORDS_PER_PUBLISH)
          await this.#publishAll(bus, records.slice(i, i + RECORDS_PER_PUBLISH));
        await file.dropOldest();
        this.#busTakes = true;
        counts.upstreamReplayed += records.length;
        log.info({ records: records.length, bytesLeft: file.bytes }, 'upstream messages replayed');
      }
    } catch (error) {
      this.#busTakes = false;
      log.warn({ bytes: file.bytes, problem: String(error) }, 'upstream messages not replayed, again later');
    }
  }

  /** One that no bus takes is left out, or it would hold up all behind it for ever. */
  async #publishAll(bus: Bus, records: readonly BusRecord[]): Promise<void> {
    try {
      await bus.publish(records);
    } catch (error) {
      if (!(error instanceof BusRecordError)) throw error;
      if (records.length === 1) this.#gateway.log.error({ problem: error.message }, 'upstream message dropped');
      else for (const record of records) await this.#publishAll(bus, [record]);
    }
  }

  #remember(name: string): void {
    this.#taken.add(name);
    if (this.#taken.size <= UPSTREAM_KEYS_MAX) return;
    for (const oldest of this.#taken) {
      this.#taken.delete(oldest);
      return;
    }
  }
}

function refuse(connection: Connection, id: number, message: string, chance = 0): void {
  const retryAfterMs = Math.ceil(RETRY_AFTER_MS * (1 + chance));
  connection.send({ type: 'error', id, code: 'upstream-unavailable', message, retryAfterMs });
}
