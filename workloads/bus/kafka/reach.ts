// Whether the brokers answer, as last seen: told by whoever tried (publisher, consumers), and by a probe of its own, slow while all is
// well and quick while they are away. Publishes fail at once while they are away, so that roles turn to their other path (R13).
import type { Admin } from 'kafkajs';
import type { BusHealth } from '../port.ts';
import { describeKafkaError, isPassing, newKafka } from './client.ts';
import type { KafkaParts } from './client.ts';

const PATIENCE_MS = 5000;
const AGAIN_MS = 50;
/** A probe asks so often, each time over a new connection, before the brokers count as away: one of several may be the one that is. */
const PROBE_TRIES = 5;

export class Reach {
  readonly #parts: KafkaParts;
  /** Why they do not answer; null: they did, last time. */
  #problem: string | null = 'not reached yet';
  /** What is wrong though they answer, by who says so. */
  readonly #troubles = new Map<string, string>();
  #away = false;
  #admin: Promise<Admin> | null = null;
  #cancel: () => void = () => {};
  #closed = false;

  constructor(parts: KafkaParts) {
    this.#parts = parts;
    this.#arm(0);
  }

  /** True: an attempt has failed and none has succeeded since. Before the first it is false: try. */
  get isAway(): boolean {
    return this.#away;
  }

  health(): BusHealth {
    const [trouble = null] = this.#troubles.values();
    // Before the first answer a trouble says more than that there was none yet.
    const problem = this.#away ? this.#problem : (trouble ?? this.#problem);
    return { reachable: this.#problem === null, problem };
  }

  succeeded(): void {
    if (this.#closed) return;
    if (this.#problem !== null) this.#parts.log.info({ brokers: this.#parts.brokers }, 'bus reachable');
    this.#problem = null;
    this.#away = false;
  }

  failed(error: unknown): void {
    if (this.#closed) return;
    this.#problem = describeKafkaError(error);
    if (this.#away) return;
    this.#away = true;
    this.#parts.log.warn({ brokers: this.#parts.brokers, problem: this.#problem }, 'bus unreachable');
    this.#arm(this.#parts.tuning.probeAwayMs);
  }

  /** Something that stays wrong while the brokers answer; null: it is over. */
  trouble(who: string, problem: string | null): void {
    if (this.#closed) return;
    if (problem === null) this.#troubles.delete(who);
    else this.#troubles.set(who, problem);
  }

  /** One admin client for all; a broken one is thrown away. Rejects with kafkajs's errors. */
  async ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    this.#admin ??= this.#connect();
    const connecting = this.#admin;
    try {
      const answer = await question(await connecting);
      this.succeeded();
      return answer;
    } catch (error) {
      if (this.#admin === connecting) this.#admin = null;
      connecting.then((admin) => admin.disconnect()).catch(() => undefined);
      throw error;
    }
  }

  /** As `ask`, again for a while where another try may do better: a broker was just started or has just gone, or the topic was just made. */
  askPatiently<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    return this.#askAgain(question, Number.POSITIVE_INFINITY);
  }

  async #askAgain<T>(question: (admin: Admin) => Promise<T>, triesMax: number): Promise<T> {
    const { clock } = this.#parts;
    const lastMs = clock.monotonicMs() + PATIENCE_MS;
    for (let tries = 1; ; tries++) {
      try {
        return await this.ask(question);
      } catch (error) {
        const isLast = tries >= triesMax || this.#closed || clock.monotonicMs() > lastMs;
        if (isLast || !isPassing(error)) throw error;
      }
      await new Promise<void>((resolve) => void clock.after(AGAIN_MS, resolve));
    }
  }

  async #connect(): Promise<Admin> {
    const admin = newKafka(this.#parts, 'admin', 0).admin();
    await admin.connect();
    return admin;
  }

  #arm(delayMs: number): void {
    this.#cancel();
    this.#cancel = this.#parts.clock.after(delayMs, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    try {
      await this.#askAgain((admin) => admin.describeCluster(), PROBE_TRIES);
    } catch (error) {
      this.failed(error);
    }
    const { probeMs, probeAwayMs } = this.#parts.tuning;
    if (!this.#closed) this.#arm(this.#away ? probeAwayMs : probeMs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#problem = 'the bus is closed';
    this.#troubles.clear();
    this.#cancel();
    const admin = this.#admin;
    this.#admin = null;
    await admin?.then((open) => open.disconnect()).catch(() => undefined);
  }
}
