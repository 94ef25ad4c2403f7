// The router: push API in, store, links to gateways out. startRouter wires its parts; main.ts, the embedded process and tests call it.
import { randomBytes } from 'node:crypto';
import { startAdminHttp } from '../runtime/admin-http.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import type { Keys } from '../runtime/credentials.ts';
import { startHttpServer } from '../runtime/http.ts';
import type { HttpServer } from '../runtime/http.ts';
import type { Log } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import type { routerSettings } from '../settings/router.ts';
import type { SettingsOf } from '../settings/setting.ts';
import type { Store } from '../store/port.ts';
import { apiRoutes } from './api.ts';
import { openAuthorizer } from './authorize.ts';
import type { Authorizer } from './authorize.ts';
import { newRouterCounts } from './counts.ts';
import { Hints } from './hints.ts';
import { LiveQueue } from './live-queue.ts';
import { openMetrics } from './metrics.ts';
import type { RouterMetrics } from './metrics.ts';
import { openPusher } from './push.ts';
import { Quotas } from './quota.ts';
import { startUpkeep } from './upkeep.ts';
import type { Upkeep } from './upkeep.ts';

export type RouterSettings = SettingsOf<typeof routerSettings>;

export interface RouterDeps {
  /** Stays its opener's to close. */
  readonly store: Store;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly config: ConfigSource;
}

/** Requests under way have this long to end once it stops; pods are given 30 s. */
const STOP_GRACE_MS = 10_000;

interface Parts {
  readonly authorizer: Authorizer;
  readonly hints: Hints;
  readonly live: LiveQueue;
  readonly upkeep: Upkeep;
  readonly metrics: RouterMetrics;
  readonly routes: ReturnType<typeof apiRoutes>;
}

/** Rejects when a port is taken. Gateways and apps may come later: it is ready once it has read its apps. */
export async function startRouter(settings: RouterSettings, deps: RouterDeps): Promise<RunningRole> {
  const parts = openParts(settings, deps);
  const { authorizer, hints, live, upkeep, metrics } = parts;
  const servers: HttpServer[] = [];
  let stopping = false;
  const endParts = (how: 'close' | 'kill'): void => {
    authorizer.stop();
    upkeep.stop();
    live.stop();
    hints.gateways.stop(how);
  };
  try {
    await hints.gateways.start();
    const { bind, httpPort, adminPort, requestsInFlightMax } = settings;
    const http = await startHttpServer({
      bind,
      port: httpPort,
      routes: parts.routes,
      log: deps.log,
      requestsInFlightMax,
      onAnswer: (route, status, ms) => metrics.answered(route, status, ms),
    });
    servers.push(http);
    const admin = await startAdminHttp({
      bind,
      port: adminPort,
      log: deps.log,
      registry: metrics.register,
      readiness: () => ({ ready: !stopping && authorizer.revision() !== null, details: describe(parts, stopping) }),
    });
    servers.push(admin);
    deps.log.info({ http: http.port, admin: admin.port }, 'router started');
    return {
      ports: { http: http.port, admin: admin.port },
      async stop() {
        stopping = true;
        await http.close(STOP_GRACE_MS);
        endParts('close');
        await admin.close(1000);
      },
      kill() {
        servers.forEach((server) => server.kill());
        endParts('kill');
      },
    };
  } catch (error) {
    servers.forEach((server) => server.kill());
    endParts('kill');
    throw error;
  }
}

function openParts(settings: RouterSettings, deps: RouterDeps): Parts {
  const { store, keys, clock, log, random } = deps;
  const counts = newRouterCounts();
  const quotas = new Quotas();
  const { leasePollMs, routeCacheMs, routeCacheRowsMax } = settings;
  const hints = new Hints({
    store,
    leasePollMs,
    routeCacheMs,
    routeCacheRowsMax,
    clock,
    log,
    counts,
    // A name of its own for each start: several routers may share a host.
    link: { name: `router-${randomBytes(6).toString('hex')}`, keys: () => keys.current().link, random },
    onRoom: () => live.roomChanged(),
  });
  const live = new LiveQueue({
    clock,
    gateways: () => hints.gateways.all(),
    onMissed: () => void counts.liveMissed++,
  });
  const authorizer = openAuthorizer({
    config: deps.config,
    configMap: settings.appsConfigMap,
    clock,
    log,
    onApps: (apps) => quotas.keep(apps),
  });
  const pusher = openPusher({ store, hints, live, clock, counts, random });
  const upkeep = startUpkeep({ store, clock, log, random, counts });
  const metrics = openMetrics({ counts, hints, live, upkeep });
  const routes = apiRoutes({ authorizer, quotas, pusher, presence: { store, gateways: hints.gateways }, clock });
  return { authorizer, hints, live, upkeep, metrics, routes };
}

/** For people who ask /readyz; the store and the gateways do not decide readiness, or one outage would take all routers out. */
function describe({ authorizer, hints }: Parts, stopping: boolean): Readonly<Record<string, unknown>> {
  const gateways = [...hints.gateways.all()];
  return {
    stopping,
    appsRevision: authorizer.revision(),
    leasesRead: hints.gateways.isKnown,
    gateways: gateways.length,
    linksUp: gateways.filter((link) => link.isUp).length,
  };
}
