// Load on a bus and what came of it, for tests that break brokers meanwhile: senders with a key each and a number for each record, members
// of a group that settle what they are handed, and at the end the two compared record by record.
import assert from 'node:assert/strict';
import { valueOf } from '../contract.ts';
import type { Bus, ReceivedRecord } from '../port.ts';

const VALUE_BYTES_MAX = 400;

export interface LoadOptions {
  readonly topic: string;
  readonly durability: 'all' | 'leader';
  readonly senders: number;
  /** Between two publishes of one sender, at most. */
  readonly pauseMsMax: number;
  /** Records of one publish, at most. */
  readonly togetherMax: number;
  /** 0 ≤ x < 1; seeded. */
  readonly random: () => number;
}

export class Load {
  readonly #options: LoadOptions;
  /** Numbers that the bus said it has, by key; and those whose outcome it did not know. */
  readonly acked = new Map<string, number[]>();
  readonly unknown = new Map<string, number[]>();
  /** As handlers got them, over all members. */
  readonly got: ReceivedRecord[] = [];
  readonly problems = new Map<string, number>();
  longestPublishMs = 0;
  /** The longest time in which no handler got anything. */
  longestGapMs = 0;
  #lastGotMs = performance.now();
  #stopped = new AbortController();
  #done: Promise<unknown> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  get ackedCount(): number {
    return sizeOfAll(this.acked);
  }

  /** One more member, on a bus of its own as another process has it. */
  async join(bus: Bus, group: string, more: { from?: 'newest'; isOfOneLife?: boolean } = {}): Promise<void> {
    await bus.consume({
      topics: [this.#options.topic],
      group,
      ...more,
      handler: (batch) => {
        const nowMs = performance.now();
        this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastGotMs);
        this.#lastGotMs = nowMs;
        this.got.push(...batch);
        return Promise.resolve();
      },
    });
  }

  /** Begins, or goes on where it was stopped. */
  send(bus: Bus): void {
    this.#lastGotMs = performance.now();
    this.longestPublishMs = 0;
    this.longestGapMs = 0;
    this.#stopped = new AbortController();
    const { signal } = this.#stopped;
    const senders = Array.from({ length: this.#options.senders }, (_, i) => this.#send(bus, `key-${i}`, signal));
    this.#done = Promise.all(senders);
  }

  async #send(bus: Bus, key: string, signal: AbortSignal): Promise<void> {
    const { topic, durability, pauseMsMax, togetherMax, random } = this.#options;
    const acked = rowOf(this.acked, key);
    const unknown = rowOf(this.unknown, key);
    while (!signal.aborted) {
      const count = 1 + Math.floor(random() * togetherMax);
      const first = acked.length + unknown.length;
      const numbers = Array.from({ length: count }, (_, i) => first + i);
      const fill = 'x'.repeat(Math.floor(random() * VALUE_BYTES_MAX));
      const records = numbers.map((n) => ({ topic, key, headers: {}, value: Buffer.from(`${n} ${fill}`) }));
      const startedAt = performance.now();
      try {
        await bus.publish(records, durability);
        acked.push(...numbers);
      } catch (error) {
        unknown.push(...numbers);
        const problem = String(error);
        this.problems.set(problem, (this.problems.get(problem) ?? 0) + 1);
      }
      this.longestPublishMs = Math.max(this.longestPublishMs, performance.now() - startedAt);
      await new Promise((resolve) => setTimeout(resolve, random() * pauseMsMax));
    }
  }

  /** No more is sent; resolves once the last publish has its outcome. */
  async stopSending(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
  }

  /** Numbers that were acknowledged and never handled, by key; empty: nothing is lost. */
  lost(): Readonly<Record<string, readonly number[]>> {
    const handled = this.#numbersByKey();
    const rows = [...this.acked].map(([key, numbers]) => {
      const has = new Set(handled.get(key));
      return [key, numbers.filter((n) => !has.has(n))] as const;
    });
    return Object.fromEntries(rows.filter(([, numbers]) => numbers.length > 0));
  }

  /**
   * Throws where handlers saw a key out of order. What comes again may come from where its partition was last settled, or where a publish
   * was stored twice: from there on in order, so that what is new of a key never comes before what it follows.
   */
  assertOrder(): void {
    for (const [key, numbers] of this.#numbersByKey()) {
      const first = [...new Set(numbers)];
      const places = new Map(first.map((n, place) => [n, place]));
      for (let i = 1; i < first.length; i++)
        assert.ok(first[i]! > first[i - 1]!, `order of ${key}: ${first[i]} came after ${first[i - 1]}`);
      for (let i = 1; i < numbers.length; i++) {
        const [before, now] = [numbers[i - 1]!, numbers[i]!];
        const skipped = first.slice(places.get(before)! + 1, places.get(now));
        assert.deepEqual(skipped, [], `${key}: ${now} came after ${before}`);
      }
    }
  }

  /** How often handlers got what they had, and how often it lay on the brokers twice. */
  doubles(): { readonly handed: number; readonly stored: number } {
    const places = new Set(this.got.map(({ partition, offset }) => `${partition} ${offset}`));
    const values = new Set(this.got.map((record) => `${record.key} ${numberOf(record)}`));
    return { handed: this.got.length - places.size, stored: places.size - values.size };
  }

  describe(): string {
    const { handed, stored } = this.doubles();
    const rejected = sizeOfAll(this.unknown);
    const ms = `longest publish ${Math.round(this.longestPublishMs)} ms, longest gap ${Math.round(this.longestGapMs)} ms`;
    const problems = [...this.problems].map(([problem, times]) => `; ${times} × ${problem}`).join('');
    return `${this.ackedCount} acknowledged, ${rejected} rejected, ${handed} handed again, ${stored} stored twice; ${ms}${problems}`;
  }

  #numbersByKey(): ReadonlyMap<string, readonly number[]> {
    const by = new Map<string, number[]>();
    for (const record of this.got) rowOf(by, record.key).push(numberOf(record));
    return by;
  }
}

function numberOf(record: ReceivedRecord): number {
  return Number.parseInt(valueOf(record), 10);
}
function rowOf(rows: Map<string, number[]>, key: string): number[] {
  const known = rows.get(key);
  if (known !== undefined) return known;
  const row: number[] = [];
  rows.set(key, row);
  return row;
}
function sizeOfAll(rows: ReadonlyMap<string, readonly unknown[]>): number {
  return [...rows.values()].reduce((sum, { length }) => sum + length, 0);
}
