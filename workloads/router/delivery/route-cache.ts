// Routes as last seen in the store, so that a push to an online device costs no look-up. Bounded by rows (least recently used goes
// first, about) and by age. Only devices that were online are kept: a device that comes online must be found at once.
import type { AppId, BootId, DeviceId } from '../../protocol/ids.ts';
import type { Route } from '../../store/port.ts';

/** Rows that get another round for one that goes. */
const LOOKS_MAX = 8;

interface Row {
  readonly route: Route;
  readonly untilMs: number;
  isUsed: boolean;
}

export class RouteCache {
  readonly #rowsMax: number;
  readonly #ttlMs: number;
  readonly #rows = new Map<string, Row>();

  constructor(options: { rowsMax: number; ttlMs: number }) {
    this.#rowsMax = options.rowsMax;
    this.#ttlMs = options.ttlMs;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(app: AppId, device: DeviceId, nowMs: number): Route | null {
    const key = keyOf(app, device);
    const row = this.#rows.get(key);
    if (row === undefined) return null;
    if (row.untilMs <= nowMs) {
      this.#rows.delete(key);
      return null;
    }
    row.isUsed = true;
    return row.route;
  }

  put(app: AppId, device: DeviceId, entry: { route: Route; nowMs: number }): void {
    if (this.#rowsMax === 0 || this.#ttlMs === 0) return;
    const key = keyOf(app, device);
    this.#rows.delete(key);
    if (this.#rows.size >= this.#rowsMax) this.#makeRoom();
    this.#rows.set(key, { route: entry.route, untilMs: entry.nowMs + this.#ttlMs, isUsed: false });
  }

  /** The oldest goes, unless it was used since it was last looked at: then it gets another round. */
  #makeRoom(): void {
    let looks = 0;
    for (const [key, row] of this.#rows) {
      this.#rows.delete(key);
      if (!row.isUsed || ++looks > LOOKS_MAX) return;
      row.isUsed = false;
      this.#rows.set(key, row);
    }
  }

  /** That life of the gateway does not have the device: its route goes, one to another life stays. */
  drop(app: AppId, device: DeviceId, bootId: BootId): void {
    const key = keyOf(app, device);
    if (this.#rows.get(key)?.route.bootId === bootId) this.#rows.delete(key);
  }
}

/** An app's name has no slash, so the first one ends it. */
function keyOf(app: AppId, device: DeviceId): string {
  return `${app}/${device}`;
}
