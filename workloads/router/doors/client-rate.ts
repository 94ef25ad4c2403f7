// How fast one device may send to other clients. Each router counts what comes its way; a device stays with one gateway, and a gateway with
// its routers, so no share is taken. Bounded: the devices that were quiet the longest are forgotten, which gives them a full second.
import type { AppId, DeviceId } from '../../protocol/ids.ts';
import { Bucket } from '../api/quota.ts';

/** About 150 bytes each. */
export const DEVICES_MAX = 100_000;

export class ClientRates {
  readonly #buckets = new Map<string, Bucket>();
  readonly #devicesMax: number;
  constructor(devicesMax = DEVICES_MAX) {
    this.#devicesMax = devicesMax;
  }

  /**
   * Takes one message of the device.
   * @returns 0: taken; else in how many ms there is room
   */
  take(app: AppId, device: DeviceId, rate: { readonly perSecond: number; readonly nowMs: number }): number {
    const key = `${app}/${device}`;
    const bucket = this.#buckets.get(key) ?? new Bucket();
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket); // to the end: the first was quiet the longest
    if (this.#buckets.size > this.#devicesMax) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    const waitMs = bucket.refill(rate.perSecond, rate.nowMs, 1);
    if (waitMs === 0) bucket.tokens--;
    return waitMs;
  }
}
