// How much load a gateway sheds (C8) and whether it takes in less (B8), from what it measures. Pure. shedding.ts measures and acts. Levels
// rise when it lasts and fall after calm, one at a time, so that they do not flap; durable messages are never lost by it, they wait in streams.

/** What is measured; each is compared with its limit. */
export interface Load {
  /** Mean delay of the event loop. */
  readonly lagMs: number;
  /** Waiting for all clients together. */
  readonly outboxBytes: number;
  /** Resident memory of the process. */
  readonly memoryBytes: number;
  /** Written to clients. */
  readonly bytesPerSecond: number;
}
/** A limit of 0 is none. */
export interface LoadLimits {
  readonly lagMsMax: number;
  readonly outboxTotalBytesMax: number;
  readonly memoryBytesMax: number;
  readonly bandwidthBytesPerSecond: number;
}

export type Level = 0 | 1 | 2 | 3;
const LEVELS: readonly Level[] = [0, 1, 2, 3];
/** Live messages below this level are not sent; messages without a level count as 0. At the highest none is, and hints wait. */
export const LEVEL_MIN: readonly number[] = [0, 3, 6, 10];
/** Pressure from which each level is entered, once it has lasted: a stall of one moment sheds nothing. */
export const RISE: readonly number[] = [0, 1, 2, 4];
export const RISE_MS = 1000;
/** A level is left once the pressure has been below this share of its entry for so long. */
export const FALL_SHARE = 0.8;
export const CALM_MS = 3000;

export interface LevelState {
  readonly level: Level;
  /** Since when the pressure is high enough for the next one; null: it is not. */
  readonly overSinceMs: number | null;
  /** Since when it is low enough to leave this one; null: it is not. */
  readonly calmSinceMs: number | null;
}
export const LEVEL_START: LevelState = { level: 0, overSinceMs: null, calmSinceMs: null };

/**
 * The worst of the four: 1 is at its limit, and beyond it each grows as steeply as it is dangerous. The loop may be four times as late as
 * its limit before hints wait; memory only a seventh beyond: the operator sets its limit at 80 % of the container's, where the process ends.
 */
const STEEPNESS = { lag: 1, outbox: 2, bandwidth: 4, memory: 20 } as const;

export function pressureOf(load: Load, limits: LoadLimits): number {
  return Math.max(
    pressure(load.lagMs, limits.lagMsMax, STEEPNESS.lag),
    pressure(load.outboxBytes, limits.outboxTotalBytesMax, STEEPNESS.outbox),
    pressure(load.bytesPerSecond, limits.bandwidthBytesPerSecond, STEEPNESS.bandwidth),
    pressure(load.memoryBytes, limits.memoryBytesMax, STEEPNESS.memory),
  );
}

function pressure(value: number, limit: number, steepness: number): number {
  if (limit === 0) return 0;
  const share = value / limit;
  return share <= 1 ? share : 1 + (share - 1) * steepness;
}

/** The level after one more measurement. */
export function stepLevel(state: LevelState, pressureNow: number, nowMs: number): LevelState {
  const { level } = state;
  const next = LEVELS[level + 1];
  if (next !== undefined && pressureNow >= RISE[next]!) {
    const overSinceMs = state.overSinceMs ?? nowMs;
    if (nowMs - overSinceMs < RISE_MS) return { level, overSinceMs, calmSinceMs: null };
    return { level: next, overSinceMs: nowMs, calmSinceMs: null };
  }
  const none = { overSinceMs: null, calmSinceMs: null };
  if (level === 0 || pressureNow >= RISE[level]! * FALL_SHARE) return { level, ...none };
  const calmSinceMs = state.calmSinceMs ?? nowMs;
  if (nowMs - calmSinceMs < CALM_MS) return { level, overSinceMs: null, calmSinceMs };
  return { level: LEVELS[level - 1]!, overSinceMs: null, calmSinceMs: nowMs };
}

/** Intake pauses at the memory limit or at this share of the bandwidth, and resumes well below. */
export const PAUSE_BANDWIDTH_SHARE = 0.8;
export const RESUME_BANDWIDTH_SHARE = 0.7;
export const RESUME_MEMORY_SHARE = 0.9;

/** Whether intake is paused after one more measurement. */
export function stepIntake(paused: boolean, load: Load, limits: LoadLimits): boolean {
  const { memoryBytesMax, bandwidthBytesPerSecond } = limits;
  const over = (value: number, limit: number, share: number): boolean => limit > 0 && value >= limit * share;
  return (
    over(load.memoryBytes, memoryBytesMax, paused ? RESUME_MEMORY_SHARE : 1) ||
    over(load.bytesPerSecond, bandwidthBytesPerSecond, paused ? RESUME_BANDWIDTH_SHARE : PAUSE_BANDWIDTH_SHARE)
  );
}
