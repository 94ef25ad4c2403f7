// One batch of the bus, from records to settled: parsed, put into chains by order key, each chain handled in its order while the others go
// on; what fails is tried again after a backoff, and in the end becomes a dead letter, with the reason. When handleBatch returns, every
// record of the batch was handled or lies in the dead topic; when it throws, the bus hands the batch again and keys make that harmless.
import type { Bus, ReceivedRecord } from '../bus/port.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { UpstreamCounts } from './counts.ts';
import { deadRecord } from './dead-record.ts';
import type { Outcome } from './handlers/handler.ts';
import type { Lane } from './lane.ts';
import { parseMessage } from './message.ts';
import type { UpstreamMessage } from './message.ts';
import { ruleFor } from './rules.ts';
import type { Rule } from './rules.ts';

export interface BatchParts {
  readonly bus: Bus;
  readonly rules: readonly Rule[];
  /** One for each rule. */
  readonly lanes: readonly Lane[];
  readonly counts: UpstreamCounts;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly attemptsMax: number;
  readonly backoffMs: number;
  readonly holdMs: number;
}

/** The role stops: what is left comes again at the next member of the group. */
export class StoppingError extends Error {
  readonly code = 'stopping';
}

const BACKOFF_MAX_MS = 30_000;

interface Item {
  readonly record: ReceivedRecord;
  readonly message: UpstreamMessage;
  readonly rule: number;
  /** Failures that count. */
  attempts: number;
  /** Tries while the handler was away, and since when; reset by any other outcome. */
  waits: number;
  awaySinceMs: number | null;
}

export class BatchWork {
  readonly #parts: BatchParts;
  #stopping = false;
  readonly #waits = new Set<() => void>();

  constructor(parts: BatchParts) {
    this.#parts = parts;
  }

  /** The bus's handler. */
  async handleBatch(batch: readonly ReceivedRecord[]): Promise<void> {
    const { counts } = this.#parts;
    counts.inHand += batch.length;
    try {
      const chains = Map.groupBy(batch, (record) => record.key);
      await allSettled([...chains.values()].map((records) => this.#chain(records)));
    } finally {
      counts.inHand -= batch.length;
    }
  }

  /** Calls under way end; waits end at once, and their batches with StoppingError. */
  stop(): void {
    this.#stopping = true;
    for (const wake of this.#waits) wake();
  }

  async #chain(records: readonly ReceivedRecord[]): Promise<void> {
    let items: Item[] = [];
    for (const record of records) {
      const item = this.#parse(record);
      if (typeof item !== 'string') items.push(item);
      else {
        await this.#run(items); // what came before it in this key first
        items = [];
        await this.#die(record, { handler: 'none', reason: item, attempts: 0 });
      }
    }
    await this.#run(items);
  }

  /** Why it can be handled by nobody, or what to handle. */
  #parse(record: ReceivedRecord): Item | string {
    const parsed = parseMessage(record);
    if (parsed.kind === 'malformed') return `malformed: ${parsed.reason}`;
    const { message } = parsed;
    const rule = ruleFor(this.#parts.rules, message.kind);
    if (rule === -1) return `no handler for kind ${message.kind}`;
    return { record, message, rule, attempts: 0, waits: 0, awaySinceMs: null };
  }

  async #run(items: readonly Item[]): Promise<void> {
    let at = 0;
    while (at < items.length) {
      if (this.#stopping) throw new StoppingError('the role stops');
      const run = runFrom(items, at, this.#parts.lanes);
      const outcomes = await this.#parts.lanes[run[0]!.rule]!.offer(run.map(({ message }) => message));
      for (const [i, item] of run.entries()) {
        const waitMs = await this.#settle(item, outcomes[i]!);
        if (waitMs === null) at++;
        else {
          await this.#wait(waitMs);
          break; // and those behind it in its key wait with it
        }
      }
    }
  }

  /** Null: it is settled. Otherwise how long to wait before the next try. */
  async #settle(item: Item, outcome: Outcome): Promise<number | null> {
    const { counts, clock, attemptsMax, holdMs } = this.#parts;
    const handler = this.#parts.rules[item.rule]!.type;
    const nowMs = clock.nowMs();
    switch (outcome.kind) {
      case 'handled':
        counts.took(Math.max(0, nowMs - item.message.receivedAtMs) / 1000);
        counts.add(handler, outcome.kind);
        return null;
      case 'duplicate':
        counts.add(handler, outcome.kind);
        return null;
      case 'rejected':
        await this.#die(item.record, { handler, reason: outcome.reason, attempts: item.attempts + 1 });
        return null;
      case 'failed':
        counts.add(handler, outcome.kind);
        item.awaySinceMs = null;
        item.waits = 0;
        item.attempts++;
        if (item.attempts < attemptsMax) return this.#backoff(item.attempts);
        await this.#die(item.record, { handler, reason: outcome.reason, attempts: item.attempts });
        return null;
      case 'unavailable': {
        counts.add(handler, outcome.kind);
        item.awaySinceMs ??= nowMs;
        item.waits++;
        if (nowMs - item.awaySinceMs <= holdMs) return outcome.retryAfterMs ?? this.#backoff(item.waits);
        const reason = `unavailable for ${Math.round((nowMs - item.awaySinceMs) / 1000)} s: ${outcome.reason}`;
        await this.#die(item.record, { handler, reason, attempts: item.attempts });
        return null;
      }
    }
  }

  /** Doubled each time, jittered by a quarter, since a handler that was away is met by everyone at once. */
  #backoff(tries: number): number {
    const { backoffMs, random } = this.#parts;
    return Math.min(BACKOFF_MAX_MS, backoffMs * 2 ** Math.min(tries - 1, 30)) * (0.75 + random() / 2);
  }

  async #die(record: ReceivedRecord, why: { handler: string; reason: string; attempts: number }): Promise<void> {
    const { bus, counts, clock, log } = this.#parts;
    const dead = deadRecord(record, { ...why, atMs: clock.nowMs() });
    await bus.publish([dead], 'all');
    counts.add(why.handler, 'dead');
    const { app, device, kind } = record.headers;
    log.warn({ id: dead.headers['id'], app, device, kind, ...why }, 'upstream message is a dead letter');
  }

  #wait(ms: number): Promise<void> {
    if (this.#stopping) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#waits.delete(wake);
        resolve();
      };
      const cancel = this.#parts.clock.after(ms, wake);
      this.#waits.add(wake);
    });
  }
}

/** Items from a place on that one call may take together: of one rule, at most as many as it takes. */
function runFrom(items: readonly Item[], at: number, lanes: readonly Lane[]): readonly Item[] {
  const { rule } = items[at]!;
  const most = lanes[rule]!.batchMax;
  let end = at + 1;
  while (end < items.length && items[end]!.rule === rule && end - at < most) end++;
  return items.slice(at, end);
}

/** All of them, even when one throws: no chain goes on behind the back of a batch that is handed again. */
async function allSettled(chains: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(chains);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
