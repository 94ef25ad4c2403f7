// How much load a gateway sheds (C8) and whether it takes in less (B8), from what it measures. Pure. shedding.ts measures and acts. Levels
// rise at once and fall after calm, one at a time, so that they do not flap; durable messages are never lost by it, they wait in streams.

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
/** Pressure from which each level is entered: at its limit, a quarter beyond, a half beyond. */
export const RISE: readonly number[] = [0, 1, 1.25, 1.5];
/** A level is left once the pressure has been below this share of its entry for so long. */
export const FALL_SHARE = 0.8;
export const CALM_MS = 3000;

export interface LevelState {
  readonly level: Level;
  /** Since when the pressure is low enough to leave it; null: it is not. */
  readonly calmSinceMs: number | null;
}
export const LEVEL_START: LevelState = { level: 0, calmSinceMs: null };

/** The worst of the four as a share of its limit: 1 is at it. */
export function pressureOf(load: Load, limits: LoadLimits): number {
  const share = (value: number, limit: number): number => (limit === 0 ? 0 : value / limit);
  return Math.max(
    share(load.lagMs, limits.lagMsMax),
    share(load.outboxBytes, limits.outboxTotalBytesMax),
    share(load.memoryBytes, limits.memoryBytesMax),
    share(load.bytesPerSecond, limits.bandwidthBytesPerSecond),
  );
}

/** The level after one more measurement. */
export function stepLevel({ level, calmSinceMs }: LevelState, pressure: number, nowMs: number): LevelState {
  const next = LEVELS[level + 1];
  if (next !== undefined && pressure >= RISE[next]!) return { level: next, calmSinceMs: null };
  if (level === 0 || pressure >= RISE[level]! * FALL_SHARE) return { level, calmSinceMs: null };
  const sinceMs = calmSinceMs ?? nowMs;
  if (nowMs - sinceMs < CALM_MS) return { level, calmSinceMs: sinceMs };
  return { level: LEVELS[level - 1]!, calmSinceMs: nowMs };
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
