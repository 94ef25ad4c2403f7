// What a gateway has left beside its live traffic, as a share of its rates: for sessions that open (admission.ts), first reads and pages of
// backlogs (backlog.ts). It is found as TCP finds its rate: while somebody waits for it the share grows, fast until it was cut for the first
// time, and when the event loop was late it is cut. The loop is late for whatever uses up the machine, so room is made for neighbours as
// well. stepShare decides; role.ts ticks, and the ticks are what measures.

/** The ticks come this often; a live message that arrives at any moment waits as long as a tick may be late. */
export const HEADROOM_TICK_MS = 10;
/** One look at twenty ticks, and one decision: what was begun before a cut has had its effect by then. */
export const HEADROOM_LOOK_MS = 200;
/** Whoever comes back gets on, however busy it is: 100 sessions and 1,000 messages a second at the defaults. */
export const SHARE_FLOOR = 0.05;
/** Before anything is known: 500 sessions a second at the defaults. */
export const SHARE_START = 0.25;
/** Until the first cut: from the start to everything in 3 s. */
export const SHARE_GROWTH = 1.1;
/** Afterwards: 5 % of the whole a second. */
export const SHARE_RISE = 0.01;
export const SHARE_CUT = 0.75;
/** Five seconds in which nobody waited and nothing was late: what was learned in the last storm says little about the next. */
export const CALM_LOOKS = 25;
/** When the loop was that many times as late as it may be. */
export const VERY_LATE = 4;
export const SHARE_CUT_VERY_LATE = 0.5;

export interface HeadroomLook {
  /** The latest tick since the last look. */
  readonly lateMs: number;
  /** Somebody waited for more than the share gave. */
  readonly wanted: boolean;
}

export interface Share {
  /** 0 < share ≤ 1 */
  readonly share: number;
  readonly wasCut: boolean;
  /** Looks in a row at which nobody waited and nothing was late. */
  readonly calmLooks: number;
}
export const SHARE_AT_START: Share = { share: SHARE_START, wasCut: false, calmLooks: 0 };

/** The share after one more look; `lateMsMax` 0: everything, always. */
export function stepShare(state: Share, { lateMs, wanted }: HeadroomLook, lateMsMax: number): Share {
  const { share, wasCut, calmLooks } = state;
  if (lateMsMax === 0) return { share: 1, wasCut: false, calmLooks: 0 };
  if (lateMs > lateMsMax) {
    const cut = lateMs > lateMsMax * VERY_LATE ? SHARE_CUT_VERY_LATE : SHARE_CUT;
    return { share: Math.max(SHARE_FLOOR, share * cut), wasCut: true, calmLooks: 0 };
  }
  if (wanted) {
    const grown = wasCut ? share + SHARE_RISE : share * SHARE_GROWTH;
    return { share: Math.min(1, grown), wasCut, calmLooks: 0 };
  }
  if (calmLooks + 1 < CALM_LOOKS) return { share, wasCut, calmLooks: calmLooks + 1 };
  return { ...SHARE_AT_START, share: Math.max(share, SHARE_START) };
}

export class Headroom {
  readonly #lateMsMax: number;
  #state: Share;
  #wanted = false;
  #tickedAtMs: number;
  #lookedAtMs: number;
  #lateMs = 0;
  #cuts = 0;

  /** @param options.lateMsMax how late the event loop may be; 0: the share is always 1 */
  constructor({ lateMsMax, nowMs }: { lateMsMax: number; nowMs: number }) {
    this.#lateMsMax = lateMsMax;
    this.#state = lateMsMax === 0 ? { ...SHARE_AT_START, share: 1 } : SHARE_AT_START;
    this.#tickedAtMs = nowMs;
    this.#lookedAtMs = nowMs;
  }

  /** 0 < share ≤ 1, of every rate at which clients come back. */
  get share(): number {
    return this.#state.share;
  }
  /** Looks at which the share was cut, so far. */
  get cuts(): number {
    return this.#cuts;
  }
  /** Somebody waits for more than the share gives. */
  want(): void {
    this.#wanted = true;
  }

  /** Every HEADROOM_TICK_MS, of a clock that never goes back. */
  tick(nowMs: number): void {
    this.#lateMs = Math.max(this.#lateMs, nowMs - this.#tickedAtMs - HEADROOM_TICK_MS);
    this.#tickedAtMs = nowMs;
    if (nowMs - this.#lookedAtMs < HEADROOM_LOOK_MS) return;
    const after = stepShare(this.#state, { lateMs: this.#lateMs, wanted: this.#wanted }, this.#lateMsMax);
    if (after.share < this.#state.share) this.#cuts++;
    this.#state = after;
    this.#lookedAtMs = nowMs;
    this.#lateMs = 0;
    this.#wanted = false;
  }
}
