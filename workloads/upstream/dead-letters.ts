// The dead letters of upstream, as the dead topic tells them: read from the oldest with a group of this life's own, so any upstream role
// answers for all of them. Listed, driven again at a pace, dropped; each is told to the topic, so that every other view follows.
// Held in memory within a bound; past it the view reads no further until some are dealt with.
import { BUS_TOPICS } from '../bus/port.ts';
import type { Bus, BusConsumer, ReceivedRecord } from '../bus/port.ts';
import { sizeOf } from '../bus/record-size.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { UpstreamCounts } from './counts.ts';
import { doneRecord, parseDeadRecord, redrivenRecord } from './dead-record.ts';
import type { DeadLetter } from './dead-record.ts';

export interface DeadLettersOptions {
  readonly bus: Bus;
  /** Names the group: of one life. */
  readonly life: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: UpstreamCounts;
  /** Of letters held. Default 64 MiB. */
  readonly bytesMax?: number;
}

export interface LetterFilter {
  readonly app?: string;
  readonly kind?: string;
  readonly device?: string;
}

const BYTES_MAX = 64 * 1024 * 1024;
const PACE_TICK_MS = 100;

export class DeadLetters {
  readonly #options: DeadLettersOptions;
  readonly #letters = new Map<string, DeadLetter>();
  /** Dealt with here; the topic's word of it is still on its way. */
  readonly #done = new Set<string>();
  #bytes = 0;
  #room = Promise.withResolvers<void>();
  #consumer: BusConsumer | null = null;
  #stopped = false;
  readonly #redriving: DeadLetter[] = [];
  #cancelPace: (() => void) | null = null;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { bus, life } = this.#options;
    this.#consumer = await bus.consume({
      topics: [BUS_TOPICS.upstreamDead],
      group: this.group,
      from: 'oldest',
      isOfOneLife: true,
      handler: (batch) => this.#take(batch),
    });
    this.#options.log.debug({ life }, 'dead letters are read');
  }

  get group(): string {
    return `upstream-dead-${this.#options.life}`;
  }
  /** Held now; what the view has not read yet is lag. */
  get size(): number {
    return this.#letters.size;
  }
  /** Waiting for their turn of the pace. */
  get redriving(): number {
    return this.#redriving.length;
  }

  /** Oldest first, after the letter `after`. */
  list(page: LetterFilter & { readonly after: string | null; readonly limit: number }): readonly DeadLetter[] {
    const found: DeadLetter[] = [];
    let isPast = page.after === null || !this.#letters.has(page.after);
    for (const letter of this.#letters.values()) {
      if (isPast && fits(letter, page)) found.push(letter);
      if (letter.id === page.after) isPast = true;
      if (found.length === page.limit) break;
    }
    return found;
  }

  one(id: string): DeadLetter | undefined {
    return this.#letters.get(id);
  }

  /** Puts them in the queue of the pace; answers how many. Those there already are not put twice. */
  redrive(letters: readonly DeadLetter[], perSecond: number): number {
    const queued = new Set(this.#redriving.map(({ id }) => id));
    const fresh = letters.filter(({ id }) => !queued.has(id));
    this.#redriving.push(...fresh);
    this.#pace(perSecond);
    return fresh.length;
  }

  /** Resolves once the topic has it. Rejects as the bus does. */
  async drop(letters: readonly DeadLetter[]): Promise<void> {
    await this.#options.bus.publish(
      letters.map((letter) => doneRecord(letter, 'dropped')),
      'all',
    );
    for (const letter of letters) this.#forget(letter.id);
    this.#options.counts.dropped += letters.length;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPace?.();
    this.#room.resolve();
    await this.#consumer?.stop();
  }

  #pace(perSecond: number): void {
    this.#cancelPace?.();
    let allowed = 1;
    let isBusy = false;
    const step = (): void => {
      allowed = Math.min(Math.max(1, perSecond), allowed + (perSecond * PACE_TICK_MS) / 1000);
      if (isBusy || allowed < 1) return;
      isBusy = true;
      const batch = this.#redriving.splice(0, Math.floor(allowed));
      allowed -= batch.length;
      void this.#again(batch).finally(() => {
        isBusy = false;
        if (this.#redriving.length === 0) this.#cancelPace?.();
      });
    };
    this.#cancelPace = this.#options.clock.every(PACE_TICK_MS, step);
    step();
  }

  /** First to the handlers, then the word that it is done: cut off between the two it comes twice, which its key makes harmless. */
  async #again(letters: readonly DeadLetter[]): Promise<void> {
    const { bus, counts, log } = this.#options;
    try {
      await bus.publish(letters.map(redrivenRecord), 'all');
      await bus.publish(
        letters.map((letter) => doneRecord(letter, 'redriven')),
        'all',
      );
      for (const { id } of letters) this.#forget(id);
      counts.redriven += letters.length;
    } catch (error) {
      log.warn({ letters: letters.length, problem: String(error) }, 'dead letters not driven again; they stay');
    }
  }

  async #take(batch: readonly ReceivedRecord[]): Promise<void> {
    for (const record of batch) {
      const event = parseDeadRecord(record);
      if (event.kind === 'done') {
        this.#forget(event.id);
        this.#done.delete(event.id);
      } else if (!this.#done.has(event.letter.id) && !this.#letters.has(event.letter.id)) this.#hold(event.letter);
      while (this.#bytes > (this.#options.bytesMax ?? BYTES_MAX) && !this.#stopped) await this.#room.promise;
    }
  }

  #hold(letter: DeadLetter): void {
    this.#letters.set(letter.id, letter);
    this.#bytes += sizeOf(letter.record);
  }

  #forget(id: string): void {
    const letter = this.#letters.get(id);
    if (letter === undefined) return;
    this.#letters.delete(id);
    this.#done.add(id);
    this.#bytes -= sizeOf(letter.record);
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }
}

function fits(letter: DeadLetter, { app, kind, device }: LetterFilter): boolean {
  return (
    (app === undefined || letter.app === app) &&
    (kind === undefined || letter.kind === kind) &&
    (device === undefined || letter.device === device)
  );
}
