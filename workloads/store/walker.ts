// Who walks (walk.ts): a store, the model of it, what chance decides, and what was done last. The operations are functions that take a
// walker: walk-deliveries.ts, walk-subscriptions.ts, walk-devices.ts, walk-trouble.ts; walk-checks.ts compares store and model.
import { aRecord, device, topicName } from './contract-subject.ts';
import type { StoreUnderTest } from './contract-subject.ts';
import type { Append, DeadLetter, Store, StreamRef } from './port.ts';
import { WalkModel } from './walk-model.ts';
import type { ModelDevice } from './walk-state.ts';
import { messageIdAt } from '../protocol/ids.ts';
import type { AppId, DeviceId, Epoch, MessageId } from '../protocol/ids.ts';
import { LANES } from '../protocol/streams.ts';
import type { Lane } from '../protocol/streams.ts';

export interface WalkOptions {
  readonly seed: number;
  readonly operations: number;
  /** `manual`: time moves only by `advance`. `real`: it goes on by itself, so what expires has expired at once or is waited for. */
  readonly clock: 'manual' | 'real';
  /** Nobody else is on the store: it may be crashed, and fall back. */
  readonly alone: boolean;
}

export const DEVICES = ['d1', 'd2', 'd3'].map(device);
export const ACCOUNTS = ['ann', 'bob'] as const;
export const TOPICS = ['t1', 't2'].map(topicName);
const KEYS = ['k1', 'k2'] as const;
/** Entries of one sweep. */
const SWEEP = 500;

export class Walker {
  readonly under: StoreUnderTest;
  readonly options: WalkOptions;
  readonly app: AppId;
  readonly model: WalkModel;
  readonly random: (below: number) => number;
  /** What was done, in words. */
  readonly trace: string[] = [];
  /** The last operation, to be repeated. */
  again: (() => Promise<void>) | null = null;
  /** The model as of the checkpoint. */
  saved: WalkModel['state'] | null = null;
  /** Positions that clients hold of a tail that the store has lost. */
  lost: { device: DeviceId; lane: Lane; epoch: Epoch; offset: number }[] = [];
  #ids = 0;
  readonly #appends: Append[] = [];

  /** @param deviceStreamEntriesMax the store's limit */
  constructor(under: StoreUnderTest, options: WalkOptions, deviceStreamEntriesMax: number) {
    this.model = new WalkModel(deviceStreamEntriesMax);
    this.under = under;
    this.options = options;
    this.app = `walk-${options.seed}` as AppId;
    this.random = seeded(options.seed);
  }

  get store(): Store {
    return this.under.store;
  }
  pick<T>(of: readonly T[]): T {
    return of[this.random(of.length)]!;
  }
  chance(percent: number): boolean {
    return this.random(100) < percent;
  }
  /** Does it, and remembers it for `repeat`: repeated calls change nothing, or what the model knows. */
  async do(what: string, run: () => Promise<void>): Promise<void> {
    this.trace.push(what);
    this.again = run;
    await run();
  }

  anId(): MessageId {
    const random = new Uint8Array(10).fill(this.random(256), 0, 5).fill(this.random(256), 5);
    return messageIdAt(1_800_000_000_000 + this.#ids++, random);
  }
  lane(): Lane {
    return this.chance(75) ? 'normal' : this.pick(LANES);
  }
  ref(): StreamRef {
    const app = this.app;
    if (this.chance(30)) return { app, kind: 'topic', topic: this.pick(TOPICS) };
    return { app, kind: 'device', device: this.pick(DEVICES), lane: this.lane() };
  }
  #expiry(): number {
    const nowMs = this.under.nowMs();
    if (this.chance(70)) return 0;
    if (this.options.clock === 'manual' && this.chance(70)) return nowMs + 1 + this.random(90_000);
    return nowMs - 1000;
  }
  /** A new message, now and then one that was sent before. */
  anAppend(stream: StreamRef): Append {
    if (this.#appends.length > 0 && this.chance(8)) return { ...this.pick(this.#appends), stream };
    const [messageId, expiresAtMs] = [this.anId(), this.#expiry()];
    const append: Append = {
      stream,
      messageId,
      record: aRecord('x', { id: messageId, expiresAtMs, satisfiedByAny: this.chance(30) }),
      expiresAtMs,
      ...(this.chance(30) ? { overflow: 'dead-letter' as const } : {}),
      ...(this.chance(20) ? { collapseKey: this.pick(KEYS) } : {}),
    };
    this.#appends.push(append);
    return append;
  }
  /** A generation that counts, or an older one. */
  generation(device: ModelDevice): number {
    return this.chance(85) ? device.generation : device.generation - 1;
  }
  /** Sweeps until nothing is due. */
  async sweepNow(): Promise<void> {
    while ((await this.store.sweepExpired(SWEEP)) >= SWEEP);
    this.model.swept(this.under.nowMs());
  }
  /** All dead letters of the walk's app. */
  async letters(): Promise<DeadLetter[]> {
    const found: DeadLetter[] = [];
    for (let cursor: string | null = null; ;) {
      const page: { letters: readonly DeadLetter[]; next: string | null } = await this.store.deadLetters(this.app, {
        cursor,
        limit: 20,
      });
      found.push(...page.letters);
      if (page.next === null) return found;
      cursor = page.next;
    }
  }
}

/** Numbers from a seed: `below` → 0 … below − 1. The same on every machine. */
function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let h = Math.imul(state ^ (state >>> 15), state | 1);
    h ^= h + Math.imul(h ^ (h >>> 7), h | 61);
    return ((h ^ (h >>> 14)) >>> 0) % below;
  };
}
