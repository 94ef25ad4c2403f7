// Where devices are: from the cache, else from the store, and only lives with a lease count. A route to a life that is not known yet has
// the leases read once more. hints.ts asks before each delivery.
//
// How the cache stays right without anyone telling routers of comings and goings (C11): only devices that were seen online are kept, so
// an arrival is found by the next look-up; a device that left is answered `not-here` by its gateway, which drops the row and costs one
// more look-up; a gateway that ended takes its lease with it. What is left is a row that is wrong and not used: the TTL ends that.
// Notices would cost every gateway a frame to every router for each connect (2,000/s × routers in a storm), to save that look-up.
import type { AppId, BootId, DeviceId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Route, Store } from '../../store/port.ts';
import { openCollector } from './collector.ts';
import type { Collector } from './collector.ts';
import type { RouterCounts } from '../counts.ts';
import type { Gateways } from './gateways.ts';
import { RouteCache } from './route-cache.ts';

/** Where a device is: a route to a life with a lease; offline; or unknown because the store did not answer (it may be anywhere, C9). */
export type Presence = Route | 'offline' | 'unknown';

export interface RoutesOptions {
  readonly store: Pick<Store, 'routes'>;
  readonly gateways: Pick<Gateways, 'byBoot' | 'refresh'>;
  readonly rowsMax: number;
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: RouterCounts;
}

/** Device ids in one trip for single look-ups. */
const LOOKUPS_MAX = 1000;

export class Routes {
  readonly #options: RoutesOptions;
  readonly #cache: RouteCache;
  readonly #lookups: Collector<{ app: AppId; device: DeviceId }, Route | null>;

  constructor(options: RoutesOptions) {
    const { store, rowsMax, ttlMs } = options;
    this.#options = options;
    this.#cache = new RouteCache({ rowsMax, ttlMs });
    this.#lookups = openCollector({ questionsMax: LOOKUPS_MAX, run: (questions) => readRoutes(store, questions) });
  }

  get cached(): number {
    return this.#cache.size;
  }

  /** Where one device is; what is asked in one tick is one trip. Never rejects. */
  async of(app: AppId, device: DeviceId): Promise<Presence> {
    const known = this.#known(app, device);
    if (known !== null) return known;
    try {
      const route = await this.#lookups.ask({ app, device });
      return await this.#checked(app, device, route);
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** Where many devices are, in their order: one trip for all that the cache does not know. Never rejects. */
  async ofMany(app: AppId, devices: readonly DeviceId[]): Promise<readonly Presence[]> {
    const found: Presence[] = [];
    const missing: number[] = [];
    devices.forEach((device, i) => {
      const known = this.#known(app, device);
      found.push(known ?? 'unknown');
      if (known === null) missing.push(i);
    });
    if (missing.length === 0) return found;
    try {
      const routes = await this.#options.store.routes(
        app,
        missing.map((i) => devices[i]!),
      );
      if (routes.some((route) => route !== null && !this.#isAlive(route))) await this.#options.gateways.refresh();
      missing.forEach((place, i) => (found[place] = this.#kept(app, devices[place]!, routes[i] ?? null)));
    } catch (error) {
      this.#failed(error);
    }
    return found;
  }

  /** That life of the gateway does not have the device. */
  drop(app: AppId, device: DeviceId, bootId: BootId): void {
    this.#cache.drop(app, device, bootId);
  }

  #known(app: AppId, device: DeviceId): Route | null {
    const cached = this.#cache.get(app, device, this.#options.clock.monotonicMs());
    return cached !== null && this.#isAlive(cached) ? cached : null;
  }
  #isAlive(route: Route): boolean {
    return this.#options.gateways.byBoot(route.bootId) !== null;
  }
  async #checked(app: AppId, device: DeviceId, route: Route | null): Promise<Presence> {
    if (route !== null && !this.#isAlive(route)) await this.#options.gateways.refresh();
    return this.#kept(app, device, route);
  }
  #kept(app: AppId, device: DeviceId, route: Route | null): Presence {
    if (route === null || !this.#isAlive(route)) return 'offline';
    this.#cache.put(app, device, { route, nowMs: this.#options.clock.monotonicMs() });
    return route;
  }
  #failed(error: unknown): 'unknown' {
    this.#options.counts.storeFailures++;
    this.#options.log.debug({ problem: String(error) }, 'routes not read');
    return 'unknown';
  }
}

/** One look-up for each app, all in one tick: the store pipelines them. */
async function readRoutes(
  store: Pick<Store, 'routes'>,
  questions: readonly { readonly app: AppId; readonly device: DeviceId }[],
): Promise<readonly (Route | null)[]> {
  const byApp = new Map<AppId, number[]>();
  questions.forEach(({ app }, i) => {
    const places = byApp.get(app);
    if (places === undefined) byApp.set(app, [i]);
    else places.push(i);
  });
  const answers: (Route | null)[] = Array.from({ length: questions.length }, () => null);
  await Promise.all(
    [...byApp].map(async ([app, places]) => {
      const devices = places.map((i) => questions[i]!.device);
      const routes = await store.routes(app, devices);
      places.forEach((place, i) => (answers[place] = routes[i] ?? null));
    }),
  );
  return answers;
}
