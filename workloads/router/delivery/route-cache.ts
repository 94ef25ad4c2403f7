// Routes as last seen in the store, so that a push to an online device costs no look-up. Bounded by rows (least recently used goes
// first) and by age. Only devices that were online are kept: a device that comes online must be found at once.
import type { AppId, BootId, DeviceId } from '../../protocol/ids.ts';
import type { Route } from '../../store/port.ts';

export class RouteCache {
  readonly #rowsMax: number;
  readonly #ttlMs: number;
  readonly #rows = new Map<string, { readonly route: Route; readonly untilMs: number }>();

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
    this.#rows.delete(key);
    if (row.untilMs <= nowMs) return null;
    this.#rows.set(key, row); // to the end: the first is the least recently used
    return row.route;
  }

  put(app: AppId, device: DeviceId, entry: { route: Route; nowMs: number }): void {
    if (this.#rowsMax === 0 || this.#ttlMs === 0) return;
    const key = keyOf(app, device);
    this.#rows.delete(key);
    if (this.#rows.size >= this.#rowsMax) {
      const [oldest] = this.#rows.keys();
      if (oldest !== undefined) this.#rows.delete(oldest);
    }
    this.#rows.set(key, { route: entry.route, untilMs: entry.nowMs + this.#ttlMs });
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
