// Forms of the values that stand in frames of a client: each takes an unknown value and where it stood, and gives it typed or throws
// InvalidFrameError that names the field, what was expected and what came. client-frames.ts and json-codec.ts call them.
import type { Epoch } from './ids.ts';
import { LIMITS } from './limits.ts';

/** A client frame that breaks the protocol. `id` is the frame's where it had a usable one: then an error frame answers it. */
export class InvalidFrameError extends Error {
  readonly code = 'invalid-frame';
  readonly id: number | null;
  constructor(message: string, id: number | null = null) {
    super(message);
    this.id = id;
  }
}

const EPOCH_CHARS_MAX = 128;

export type Row = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectAt(value: unknown, at: string): Row {
  if (isObject(value)) return value;
  throw new InvalidFrameError(`${at}: expected an object, got ${show(value)}`);
}

/** A list of at most `max` items, by default as many as positions fit in a frame. */
export function boundedList(value: unknown, at: string, max: number = LIMITS.positionsPerFrameMax): readonly unknown[] {
  if (Array.isArray(value) && value.length <= max) return value;
  const got = Array.isArray(value) ? String(value.length) : show(value);
  throw new InvalidFrameError(`${at}: expected a list of at most ${max}, got ${got}`);
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function countAt(value: unknown, at: string): number {
  if (isCount(value)) return value;
  throw new InvalidFrameError(`${at}: expected a whole number of at least 0, got ${show(value)}`);
}

/** A whole number from `min` to `max`. */
export function numberAt(value: unknown, at: string, [min, max]: readonly [min: number, max: number]): number {
  if (isCount(value) && value >= min && value <= max) return value;
  throw new InvalidFrameError(`${at}: expected a whole number of ${min}–${max}, got ${show(value)}`);
}

export function textAt(value: unknown, at: string, charsMax: number): string {
  if (typeof value === 'string' && value.length >= 1 && value.length <= charsMax) return value;
  const got = typeof value === 'string' ? `${value.length} characters` : show(value);
  throw new InvalidFrameError(`${at}: expected a text of 1–${charsMax} characters, got ${got}`);
}

export function epochAt(value: unknown, at: string): Epoch {
  return textAt(value, at, EPOCH_CHARS_MAX) as Epoch;
}

/** One of the texts given. */
export function oneOfAt<const T extends string>(value: unknown, at: string, texts: readonly T[]): T {
  const found = texts.find((text) => text === value);
  if (found !== undefined) return found;
  throw new InvalidFrameError(`${at}: expected ${texts.join(' or ')}, got ${show(value)}`);
}

/** Anything that JSON can say, but not nothing, and not nested so deep that writing it again overflows the stack. */
export function bodyAt(value: unknown): unknown {
  if (value === undefined) throw new InvalidFrameError('body: expected a value, got nothing');
  if (isDeeperThan(value, LIMITS.bodyDepthMax))
    throw new InvalidFrameError(`body: expected at most ${LIMITS.bodyDepthMax} levels of lists and objects`);
  return value;
}

/** Whether objects and lists are nested deeper than `depthMax`. Cost: O(values). */
function isDeeperThan(value: unknown, depthMax: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depthMax === 0) return true;
  const inside: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return inside.some((item) => isDeeperThan(item, depthMax - 1));
}

/** A value as an error message names it: short, and never the whole of it. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object';
}
