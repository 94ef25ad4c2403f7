// Admission: when a session may open. The rate rises after start and makes room for live traffic (load/headroom.ts), resumers go before
// newcomers, and whoever would wait too long, now or since the rate has fallen, is given a time of its own to come back: a place behind the
// queue, and behind everyone sent away before. Pure but for the callbacks; connect.ts asks for a turn, role.ts ticks.

/** Longest wait in the queue: half of the default hello timeout. */
export const WAIT_MAX_MS = 5000;
/** After start the rate begins at this share. */
const RAMP_FLOOR = 0.1;
/** Whoever would wait longer than this after all, since the rate has fallen or resumers came, is sent away: clients give up after 10 s. */
export const WAIT_LONGEST_MS = 7500;
/** So many at a tick: telling them is work as well. */
export const SENT_AWAY_PER_TICK = 20;
/** Soonest that anybody is asked to come back. */
export const RETRY_LEAST_MS = 1000;
/** Places further away than this are not kept apart: whoever is sent away then comes back within as much again. */
export const PLACES_MAX_MS = 60_000;
/** Places given for each turn: some do not come back, and the rate will have grown until then. */
export const PLACES_PER_TURN = 2;
/** Turns that may be saved up while nobody comes: a tenth of a second's worth. */
const BURST_SECONDS = 0.1;

export type Turn = { readonly kind: 'go' } | { readonly kind: 'refused'; readonly retryAfterMs: number };
export type Comer = 'resumer' | 'newcomer';
type Grant = (turn: Turn) => void;
const GO: Turn = { kind: 'go' };

export class Admission {
  readonly #ratePerSecond: number;
  readonly #rampMs: number;
  readonly #random: () => number;
  readonly #share: () => number;
  readonly #queues: Readonly<Record<Comer, Grant[]>> = { resumer: [], newcomer: [] };
  #startedAtMs: number;
  #turns: number;
  #lastMs: number;
  /** Up to here all places are given away. */
  #placesUntilMs = 0;

  /** @param options.share of the rate, now: 0 < share ≤ 1; default 1 */
  constructor(options: {
    ratePerSecond: number;
    rampMs: number;
    nowMs: number;
    random: () => number;
    share?: () => number;
  }) {
    this.#ratePerSecond = options.ratePerSecond;
    this.#rampMs = options.rampMs;
    this.#random = options.random;
    this.#share = options.share ?? (() => 1);
    this.#startedAtMs = options.nowMs;
    this.#lastMs = options.nowMs;
    this.#turns = Math.max(1, this.rateAt(options.nowMs) * BURST_SECONDS);
  }

  /** Sessions waiting for their turn. */
  get waiting(): number {
    return this.#queues.resumer.length + this.#queues.newcomer.length;
  }

  /** Clients are taken from now on: the ramp begins. */
  start(nowMs: number): void {
    this.#startedAtMs = nowMs;
  }

  /** Sessions a second at this time. */
  rateAt(nowMs: number): number {
    const share = this.#rampMs === 0 ? 1 : Math.min(1, (nowMs - this.#startedAtMs) / this.#rampMs);
    return this.#ratePerSecond * this.#share() * (RAMP_FLOOR + (1 - RAMP_FLOOR) * Math.max(0, share));
  }

  /** Asks for a turn; `grant` is called once: now, at a later tick, or now with the time to come back. */
  ask(comer: Comer, nowMs: number, grant: Grant): void {
    this.#fill(nowMs);
    if (this.waiting === 0 && this.#turns >= 1) {
      this.#turns--;
      grant(GO);
      return;
    }
    const ahead = comer === 'resumer' ? this.#queues.resumer.length : this.waiting;
    const waitMs = (ahead / this.rateAt(nowMs)) * 1000;
    if (waitMs > WAIT_MAX_MS) grant({ kind: 'refused', retryAfterMs: this.#givePlace(nowMs) });
    else this.#queues[comer].push(grant);
  }

  /** When the queue of now will be done, spread over as much again: for those of whom nobody knows whether they come back here. */
  retryAfterMs(nowMs: number): number {
    return Math.ceil(this.#doneInMs(nowMs) * (1 + this.#random()));
  }

  /** The next place: so that those refused together neither return together nor sooner than there is a turn for them. */
  #givePlace(nowMs: number): number {
    const placeMs = Math.max(nowMs + this.#doneInMs(nowMs), this.#placesUntilMs);
    if (placeMs - nowMs > PLACES_MAX_MS) return Math.ceil(PLACES_MAX_MS * (1 + this.#random()));
    this.#placesUntilMs = placeMs + 1000 / (this.rateAt(nowMs) * PLACES_PER_TURN);
    return Math.ceil(placeMs - nowMs);
  }

  #doneInMs(nowMs: number): number {
    return Math.max(RETRY_LEAST_MS, (this.waiting / this.rateAt(nowMs)) * 1000);
  }

  /** Grants what has become due, and sends away who would wait in vain. */
  tick(nowMs: number): void {
    this.#fill(nowMs);
    const { resumer, newcomer } = this.#queues;
    const resumers = resumer.splice(0, Math.floor(this.#turns));
    this.#turns -= resumers.length;
    const newcomers = newcomer.splice(0, Math.floor(this.#turns));
    this.#turns -= newcomers.length;
    for (const grant of resumers) grant(GO);
    for (const grant of newcomers) grant(GO);
    this.#sendAwayTheLast(nowMs);
  }

  #sendAwayTheLast(nowMs: number): void {
    const { resumer, newcomer } = this.#queues;
    const most = (this.rateAt(nowMs) * WAIT_LONGEST_MS) / 1000;
    for (let i = 0; i < SENT_AWAY_PER_TICK && this.waiting > most; i++) {
      const grant = newcomer.pop() ?? resumer.pop();
      grant?.({ kind: 'refused', retryAfterMs: this.#givePlace(nowMs) });
    }
  }

  #fill(nowMs: number): void {
    const rate = this.rateAt(nowMs);
    const most = Math.max(1, rate * BURST_SECONDS);
    this.#turns = Math.min(most, this.#turns + (Math.max(0, nowMs - this.#lastMs) * rate) / 1000);
    this.#lastMs = nowMs;
  }
}
