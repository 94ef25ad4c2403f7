// One partition at a consumer: hands its records in order, tries a failed batch again after a backoff, commits what is settled, and lets
// go of the fetch loop when its handler takes long. group-consumer.ts has one for each partition it was assigned.
import type { KafkaMessage } from 'kafkajs';
import type { BusConsume, ReceivedRecord } from '../port.ts';
import { describeKafkaError } from './client.ts';
import type { KafkaParts } from './client.ts';

export interface PartitionPlace {
  readonly topic: string;
  readonly partition: number;
}
/** What a run asks of its consumer. */
export interface PartitionHost {
  readonly parts: KafkaParts;
  readonly consume: BusConsume;
  readonly isStopping: () => boolean;
  /** Everything below `next` is settled. Rejects when the broker does not take it. */
  commit(place: PartitionPlace, next: number): Promise<void>;
  pause(place: PartitionPlace): void;
  /** Fetches again, from `next`; null: from where the consumer stands. */
  resume(place: PartitionPlace, next: number | null): void;
}

const COMMIT_AGAIN_MS = 1000;

export class PartitionRun {
  readonly place: PartitionPlace;
  readonly #host: PartitionHost;
  /** The work under way; null: idle. */
  #work: Promise<void> | null = null;
  /** Next offset that is not settled; null: nothing was handed yet. */
  #settled: number | null = null;
  #committed: number | null = null;
  #isLost = false;
  /** It was paused for the work under way, and is resumed at its end. */
  #isHeld = false;
  #cancelWait: () => void = () => {};
  #cancelCommit: () => void = () => {};

  constructor(place: PartitionPlace, host: PartitionHost) {
    this.place = place;
    this.#host = host;
  }

  get isBusy(): boolean {
    return this.#work !== null;
  }

  /**
   * Takes what was fetched. Resolves with the offset to fetch from next when it was settled in short time; null: it goes on by itself,
   * the partition is paused, and is resumed at the end.
   */
  async take(messages: readonly KafkaMessage[], lastOffset: number): Promise<number | null> {
    const { parts } = this.#host;
    if (this.#work !== null) {
      this.hold(); // after a rebalance the same records come while they are still worked on
      return null;
    }
    this.#isLost = false;
    this.#work = this.#handAll(messages, lastOffset).finally(() => this.#ended());
    const late = Promise.withResolvers<'late'>();
    const cancel = parts.clock.after(parts.tuning.detachMs, () => late.resolve('late'));
    const first = await Promise.race([this.#work, late.promise]);
    cancel();
    if (first !== 'late') return this.#settled;
    this.hold();
    return null;
  }

  /** Nothing is fetched until the work under way has ended. */
  hold(): void {
    this.#isHeld = true;
    this.#host.pause(this.place);
  }

  #ended(): void {
    this.#work = null;
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#host.resume(this.place, this.#isLost ? null : this.#settled);
  }

  /** The partition went to another member: what is under way is neither tried again nor committed. */
  lose(): void {
    this.#isLost = true;
    this.#settled = null;
    this.#committed = null;
    this.#cancelWait();
    this.#cancelCommit();
  }

  /** Ends waiting between tries; resolves when the handler has returned. */
  async stop(): Promise<void> {
    this.#cancelWait();
    await this.#work;
    this.#cancelCommit();
    if (!this.#isLost && this.#settled !== this.#committed) await this.#commit();
  }

  async #handAll(messages: readonly KafkaMessage[], lastOffset: number): Promise<void> {
    const { consume, parts } = this.#host;
    const from = this.#settled ?? 0; // records below were settled before a rebalance and are only fetched again
    const wanted: ReceivedRecord[] = [];
    for (const message of messages) {
      const offset = Number(message.offset);
      if (offset < from) continue;
      const headers = headersOf(message);
      if (consume.accepts?.(headers) === false) continue;
      wanted.push(this.#recordOf(message, offset, headers));
    }
    for (let at = 0; at < wanted.length; at += parts.tuning.batchMax) {
      const batch = wanted.slice(at, at + parts.tuning.batchMax);
      if (!(await this.#hand(batch))) return;
      await this.#settle(batch[batch.length - 1]!.offset + 1);
    }
    if (this.#isGone()) return;
    await this.#settle(lastOffset + 1);
  }

  #recordOf(message: KafkaMessage, offset: number, headers: Readonly<Record<string, string>>): ReceivedRecord {
    const { topic, partition } = this.place;
    return { topic, partition, offset, headers, key: message.key?.toString() ?? '', value: message.value ?? NOTHING };
  }

  /** True: settled. False: the partition is gone, or the consumer stops. */
  async #hand(batch: readonly ReceivedRecord[]): Promise<boolean> {
    const { consume, parts } = this.#host;
    const { backoffMinMs, backoffMaxMs } = parts.tuning;
    for (let failures = 0; !this.#isGone(); failures++) {
      try {
        await consume.handler(batch);
        return true;
      } catch (error) {
        const waitMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(failures, 30));
        const keys = { ...this.place, group: consume.group, failures: failures + 1, waitMs, problem: String(error) };
        parts.log.warn(keys, 'handler failed, batch comes again');
        if (!this.#isGone()) await this.#wait(waitMs);
      }
    }
    return false;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#host.parts.clock.after(ms, resolve);
      this.#cancelWait = () => {
        cancel();
        resolve();
      };
    });
  }

  async #settle(next: number): Promise<void> {
    if (this.#isLost || (this.#settled !== null && this.#settled >= next && this.#committed === this.#settled)) return;
    this.#settled = Math.max(next, this.#settled ?? 0);
    await this.#commit();
  }

  /** A commit that fails is tried again, unless a later one comes first: until then a restart would only hand records again. */
  async #commit(): Promise<void> {
    const next = this.#settled!;
    try {
      await this.#host.commit(this.place, next);
      this.#committed = next;
    } catch (error) {
      const { log, clock } = this.#host.parts;
      log.debug({ ...this.place, next, problem: describeKafkaError(error) }, 'commit failed');
      this.#cancelCommit();
      this.#cancelCommit = clock.after(COMMIT_AGAIN_MS, () => {
        if (!this.#isGone() && this.#settled !== this.#committed && this.#work === null) void this.#commit();
      });
    }
  }

  #isGone(): boolean {
    return this.#isLost || this.#host.isStopping();
  }
}

const NOTHING = new Uint8Array(0);

/** A header that came several times counts once, with its last value. */
function headersOf(message: KafkaMessage): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    const last = Array.isArray(value) ? value[value.length - 1] : value;
    headers[name] = last === undefined ? '' : last.toString();
  }
  return headers;
}
