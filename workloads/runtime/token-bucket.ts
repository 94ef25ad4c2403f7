// A token bucket: so much a second, some of it saved up. Pure; time is handed in. What something costs may turn out only afterwards, so a
// bucket can be in debt, and what was taken too much is given back.

export class TokenBucket {
  #ratePerSecond: number;
  readonly #burstSeconds: number;
  #tokens: number;
  #lastMs: number;

  /** @param options.burstSeconds what may be saved up, in seconds' worth of the rate; at least one token */
  constructor(options: { ratePerSecond: number; burstSeconds: number; nowMs: number }) {
    this.#ratePerSecond = options.ratePerSecond;
    this.#burstSeconds = options.burstSeconds;
    this.#lastMs = options.nowMs;
    this.#tokens = this.#most();
  }

  get ratePerSecond(): number {
    return this.#ratePerSecond;
  }
  /** From now on; what is saved up stays within the new bound. */
  setRate(ratePerSecond: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#ratePerSecond = ratePerSecond;
    this.#tokens = Math.min(this.#tokens, this.#most());
  }

  /** Tokens there are; negative: in debt. */
  level(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens;
  }
  /** Takes these when at least one whole token, or what is asked if that is less, is there; the rest is debt. */
  take(tokens: number, nowMs: number): boolean {
    if (this.level(nowMs) < Math.min(1, tokens)) return false;
    this.#tokens -= tokens;
    return true;
  }
  /** Adds what was taken too much, or with a negative number takes what came on top. */
  giveBack(tokens: number): void {
    this.#tokens = Math.min(this.#most(), this.#tokens + tokens);
  }
  /** How long until `take(1)` would succeed; 0: now. */
  waitMs(nowMs: number): number {
    return Math.max(0, ((1 - this.level(nowMs)) / this.#ratePerSecond) * 1000);
  }

  #most(): number {
    return Math.max(1, this.#ratePerSecond * this.#burstSeconds);
  }
  #fill(nowMs: number): void {
    const sinceMs = Math.max(0, nowMs - this.#lastMs);
    this.#tokens = Math.min(this.#most(), this.#tokens + (sinceMs * this.#ratePerSecond) / 1000);
    this.#lastMs = nowMs;
  }
}
