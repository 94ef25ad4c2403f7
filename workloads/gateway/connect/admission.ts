// Admission: when a session may open. The rate rises after start, resumers go before newcomers, and whoever would wait too long is told
// when to come back, computed from the queue. Pure but for the callbacks; connect.ts asks for a turn, role.ts ticks.

/** Longest wait in the queue: half of the default hello timeout. */
export const WAIT_MAX_MS = 5000;
/** After start the rate begins at this share. */
const RAMP_FLOOR = 0.1;
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
  readonly #queues: Readonly<Record<Comer, Grant[]>> = { resumer: [], newcomer: [] };
  #startedAtMs: number;
  #turns: number;
  #lastMs: number;

  constructor(options: { ratePerSecond: number; rampMs: number; nowMs: number; random: () => number }) {
    this.#ratePerSecond = options.ratePerSecond;
    this.#rampMs = options.rampMs;
    this.#random = options.random;
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
    return this.#ratePerSecond * (RAMP_FLOOR + (1 - RAMP_FLOOR) * Math.max(0, share));
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
    if (waitMs > WAIT_MAX_MS) grant({ kind: 'refused', retryAfterMs: this.retryAfterMs(nowMs) });
    else this.#queues[comer].push(grant);
  }

  /** When the queue of now will be done, spread over as much again, so that those refused together do not return together. */
  retryAfterMs(nowMs: number): number {
    const doneMs = (this.waiting / this.rateAt(nowMs)) * 1000;
    return Math.ceil(Math.max(1000, doneMs) * (1 + this.#random()));
  }

  /** Grants what has become due. */
  tick(nowMs: number): void {
    this.#fill(nowMs);
    const { resumer, newcomer } = this.#queues;
    const resumers = resumer.splice(0, Math.floor(this.#turns));
    this.#turns -= resumers.length;
    const newcomers = newcomer.splice(0, Math.floor(this.#turns));
    this.#turns -= newcomers.length;
    for (const grant of resumers) grant(GO);
    for (const grant of newcomers) grant(GO);
  }

  #fill(nowMs: number): void {
    const rate = this.rateAt(nowMs);
    const most = Math.max(1, rate * BURST_SECONDS);
    this.#turns = Math.min(most, this.#turns + (Math.max(0, nowMs - this.#lastMs) * rate) / 1000);
    this.#lastMs = nowMs;
  }
}
