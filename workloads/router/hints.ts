// Telling gateways what the store already has (durable), or what only lives on the way (live). A hint that is lost costs time, never a
// message. push.ts calls these after the append; answers come back here from the links.
import { newLinkCounters } from '../link/counters.ts';
import type { LinkCounters } from '../link/counters.ts';
import type { AppId, DeviceId } from '../protocol/ids.ts';
import type { Answer } from '../protocol/link.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Route, Store } from '../store/port.ts';
import { openCollector } from './collector.ts';
import type { Collector } from './collector.ts';
import type { RouterCounts } from './counts.ts';
import type { Delivery, GatewayLinkOptions, Sent } from './gateway-link.ts';
import { Gateways } from './gateways.ts';
import { RouteCache } from './route-cache.ts';

type DeviceDelivery = Omit<Extract<Delivery, { kind: 'deliver-device' }>, 'bootId'>;

export interface HintsOptions {
  readonly store: Pick<Store, 'leases' | 'routes'>;
  readonly leasePollMs: number;
  readonly routeCacheMs: number;
  readonly routeCacheRowsMax: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: RouterCounts;
  readonly link: Pick<GatewayLinkOptions, 'name' | 'keys' | 'random'>;
  /** A gateway has room again, or is gone. */
  onRoom(): void;
}

/** Where a device is: a route to a life with a lease; offline; or unknown because the store did not answer. */
export type Presence = Route | 'offline' | 'unknown';

/** Device ids in one trip for routes. */
const LOOKUPS_MAX = 1000;
/** A delivery is sent along one newer route, then left to the stream. */
const MOVES_MAX = 1;

export class Hints {
  readonly gateways: Gateways;
  readonly linkCounters: LinkCounters = newLinkCounters();
  readonly #options: HintsOptions;
  readonly #cache: RouteCache;
  readonly #lookups: Collector<{ app: AppId; device: DeviceId }, Route | null>;

  constructor(options: HintsOptions) {
    this.#options = options;
    const { store, leasePollMs, clock, log, counts } = options;
    this.#cache = new RouteCache({ rowsMax: options.routeCacheRowsMax, ttlMs: options.routeCacheMs });
    this.#lookups = openCollector({
      questionsMax: LOOKUPS_MAX,
      run: (questions) => readRoutes(store, questions),
    });
    this.gateways = new Gateways({
      store,
      leasePollMs,
      clock,
      log,
      link: {
        ...options.link,
        counters: this.linkCounters,
        onAnswer: (sent, answer) => this.#answered(sent, answer),
        onRoom: () => options.onRoom(),
      },
      onLost: (left) => left.forEach((sent) => this.#move(sent)),
      onDropped: (count) => void (counts.hints.dropped += count),
      onStoreFailure: () => void counts.storeFailures++,
    });
  }

  get cachedRoutes(): number {
    return this.#cache.size;
  }

  /** Tells the device's gateway of an entry its stream holds; answers where the device seems to be. Never rejects. */
  async tellDevice(delivery: DeviceDelivery, moves = 0): Promise<Presence> {
    const { app, device } = delivery;
    const presence = await this.presence(app, device);
    const { hints } = this.#options.counts;
    if (presence === 'offline' || presence === 'unknown') {
      hints[presence === 'offline' ? 'offline' : 'failed']++;
      return presence;
    }
    const link = this.gateways.byBoot(presence.bootId);
    if (link?.offer({ ...delivery, bootId: presence.bootId }, moves) === 'full') hints.dropped++;
    return presence;
  }

  /** Sends a live message to a device; `busy`: its gateway cannot take it now. */
  async sendLive(delivery: DeviceDelivery, moves = 0): Promise<Presence | 'busy'> {
    const presence = await this.presence(delivery.app, delivery.device);
    if (presence === 'offline' || presence === 'unknown') return presence;
    const link = this.gateways.byBoot(presence.bootId);
    return link?.offerLive({ ...delivery, bootId: presence.bootId }, moves) === true ? presence : 'busy';
  }

  /** Where a device is, from the cache or the store. A route to a life without a lease has the leases read once more. */
  async presence(app: AppId, device: DeviceId): Promise<Presence> {
    const { clock, counts, log } = this.#options;
    const cached = this.#cache.get(app, device, clock.monotonicMs());
    if (cached !== null && this.gateways.byBoot(cached.bootId) !== null) return cached;
    try {
      const route = await this.#lookups.ask({ app, device });
      if (route === null) return 'offline';
      if (this.gateways.byBoot(route.bootId) === null) await this.gateways.refresh();
      if (this.gateways.byBoot(route.bootId) === null) return 'offline';
      this.#cache.put(app, device, { route, nowMs: clock.monotonicMs() });
      return route;
    } catch (error) {
      counts.storeFailures++;
      log.debug({ problem: String(error) }, 'route not read');
      return 'unknown';
    }
  }

  #answered(sent: Sent, answer: Answer): void {
    const { hints } = this.#options.counts;
    const { delivery } = sent;
    if (delivery.kind === 'deliver-topic' || answer.outcome !== 'not-here') {
      hints[answer.outcome === 'slow' ? 'slow' : 'taken']++;
      return;
    }
    this.#cache.drop(delivery.app, delivery.device, delivery.bootId);
    this.#move(sent);
  }

  /** The device is not where it was: along its newer route if there is one. */
  #move(sent: Sent): void {
    const { delivery, moves } = sent;
    const { hints } = this.#options.counts;
    if (delivery.kind === 'deliver-topic') return;
    this.#cache.drop(delivery.app, delivery.device, delivery.bootId);
    if (moves >= MOVES_MAX) {
      hints['not-here']++;
      return;
    }
    const again = delivery.epoch === null ? this.sendLive(delivery, moves + 1) : this.tellDevice(delivery, moves + 1);
    again
      .then((presence) => {
        if (typeof presence === 'object') hints.moved++;
      })
      .catch((error: unknown) => this.#options.log.error({ err: error }, 'a delivery could not be sent again'));
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
