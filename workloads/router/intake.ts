// Back-pressure of the router's intake (B8): above a memory limit, or above 80 % of a configured bandwidth, live messages are refused first,
// then durable ones, each with when to come back; taken again only once the load is well below, so that it does not flap. The decision is
// pure; Intake reads the load at each tick. push.ts asks before it takes a message; what was accepted before goes on.
import { RefusedError } from '../protocol/codes.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';

/** 0: everything is taken. 1: no live messages. 2: no durable ones either. */
export type IntakeLevel = 0 | 1 | 2;

/** 0 turns a limit off. */
export interface IntakeLimits {
  readonly memoryBytesMax: number;
  readonly bandwidthBytesPerSecond: number;
}
export interface IntakeLoad {
  readonly memoryBytes: number;
  readonly bytesPerSecond: number;
}

/** Shares of a limit at which a level begins, and below which it ends. */
interface Edges {
  readonly begins: number;
  readonly ends: number;
}
/** Memory's limit is where the first begins; bandwidth is to keep a fifth free. Each ends a tenth below where it began. */
const MEMORY: readonly [Edges, Edges] = [
  { begins: 1, ends: 0.9 },
  { begins: 1.1, ends: 0.99 },
];
const BANDWIDTH: readonly [Edges, Edges] = [
  { begins: 0.8, ends: 0.72 },
  { begins: 0.95, ends: 0.855 },
];
const RETRY_AFTER_MS = 1000;
export const INTAKE_TICK_MS = 250;
/** Of a tick in the mean of the bandwidth: it follows a change within about a second. */
const WEIGHT = 0.25;

/** Which level holds now, given the one before. */
export function decideIntake(before: IntakeLevel, load: IntakeLoad, limits: IntakeLimits): IntakeLevel {
  const memory = levelOf(before, shareOf(load.memoryBytes, limits.memoryBytesMax), MEMORY);
  const bandwidth = levelOf(before, shareOf(load.bytesPerSecond, limits.bandwidthBytesPerSecond), BANDWIDTH);
  return memory > bandwidth ? memory : bandwidth;
}

function shareOf(value: number, limit: number): number {
  return limit === 0 ? 0 : value / limit;
}
function levelOf(before: IntakeLevel, share: number, [first, second]: readonly [Edges, Edges]): IntakeLevel {
  if (share >= (before === 2 ? second.ends : second.begins)) return 2;
  return share >= (before >= 1 ? first.ends : first.begins) ? 1 : 0;
}

export interface IntakeOptions {
  readonly limits: IntakeLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly memoryBytes: () => number;
  /** Bytes that came in and went out since the start. */
  readonly bytes: () => number;
}

export class Intake {
  readonly #options: IntakeOptions;
  readonly #cancel: () => void;
  #level: IntakeLevel = 0;
  #bytesPerSecond = 0;
  #seen: { readonly bytes: number; readonly atMs: number };

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#seen = { bytes: options.bytes(), atMs: options.clock.monotonicMs() };
    this.#cancel = options.clock.every(INTAKE_TICK_MS, () => this.#look());
  }

  get level(): IntakeLevel {
    return this.#level;
  }
  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  /** Throws RefusedError 'overloaded' while messages of the class are not taken. */
  assertOpen(kind: 'durable' | 'live'): void {
    if (this.#level < (kind === 'live' ? 1 : 2)) return;
    throw new RefusedError('overloaded', `the router takes no ${kind} messages now: it has as much as it may`, {
      retryAfterMs: RETRY_AFTER_MS,
    });
  }

  stop(): void {
    this.#cancel();
  }

  #look(): void {
    const { clock, log, limits, memoryBytes, bytes } = this.#options;
    const now = { bytes: bytes(), atMs: clock.monotonicMs() };
    const seconds = (now.atMs - this.#seen.atMs) / 1000;
    if (seconds <= 0) return;
    this.#bytesPerSecond += WEIGHT * ((now.bytes - this.#seen.bytes) / seconds - this.#bytesPerSecond);
    this.#seen = now;
    const load = { memoryBytes: memoryBytes(), bytesPerSecond: this.#bytesPerSecond };
    const level = decideIntake(this.#level, load, limits);
    if (level !== this.#level)
      log.warn({ level, before: this.#level, ...load, ...limits }, 'intake of the router changed');
    this.#level = level;
  }
}

/** A setting of 0: four fifths of what the container may use; 0 where that is not bounded. */
export function memoryLimitOf(setting: number, constrainedBytes: number): number {
  if (setting > 0) return setting;
  return constrainedBytes > 0 && constrainedBytes < Number.MAX_SAFE_INTEGER ? Math.floor(constrainedBytes * 0.8) : 0;
}
