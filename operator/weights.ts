// The weight of each gateway in the routing document: by hand, or tuned from live connections against capacity. Tuned weights move
// damped and in steps, so that a cluster at rest keeps the same document and few clients are sent elsewhere. Pure.

export const WEIGHT_DEFAULT = 100;
const WEIGHT_MAX = 1000;
/** A tuned weight never reaches 0: that would say that the gateway takes nobody. */
const WEIGHT_MIN = 10;
/** Tuned weights are multiples of this: below, a change is noise. */
const STEP = 10;
/** Of the way to the goal in one go: three rounds make seven eighths of it. */
const DAMPING = 0.5;
/** A goal nearer than this is reached: hysteresis of two steps. */
const DEADBAND = 20;

export interface Load {
  /** Null: not known; its weight stays as it is. */
  readonly connections: number | null;
  readonly capacity: number;
  /** Its weight now; null: it has none yet. */
  readonly weight: number | null;
}

/** Goal: 200 × the share of its capacity that is free, so that half full is the default of 100. */
export function tuneWeight(load: Load): number {
  const before = load.weight === null || load.weight === 0 ? null : load.weight;
  if (load.connections === null) return before ?? WEIGHT_DEFAULT;
  const free = Math.max(0, 1 - load.connections / Math.max(1, load.capacity));
  const goal = Math.min(WEIGHT_MAX, Math.max(WEIGHT_MIN, 200 * free));
  if (before === null) return toStep(goal);
  if (Math.abs(goal - before) < DEADBAND) return before;
  return Math.max(WEIGHT_MIN, toStep(before + (goal - before) * DAMPING));
}

function toStep(weight: number): number {
  return Math.max(WEIGHT_MIN, Math.round(weight / STEP) * STEP);
}
