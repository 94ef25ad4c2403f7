// A registry from settings to running role: what is watched, then the service, then the ports. main.ts and the embedded process call
// startRegistry. It holds nothing of its own: any number of them serve one cluster.
import { startAdminHttp } from '../runtime/admin-http.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import type { Keys } from '../runtime/credentials.ts';
import { CORS_HEADERS, startHttpServer } from '../runtime/http.ts';
import type { HttpServer } from '../runtime/http.ts';
import type { Log } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import type { registrySettings } from '../settings/registry.ts';
import type { SettingsOf } from '../settings/setting.ts';
import type { Store } from '../store/port.ts';
import { openAdmission } from './admission.ts';
import { registryRoutes } from './api.ts';
import { openApps } from './apps.ts';
import type { Apps } from './apps.ts';
import { openDirectory } from './directory.ts';
import type { Directory } from './directory.ts';
import { openMetrics } from './metrics.ts';
import { REQUEST_BYTES_MAX } from './requests.ts';
import { openService } from './service.ts';
import { openWebhook } from './webhook.ts';

export type RegistrySettings = SettingsOf<typeof registrySettings>;

export interface RegistryDeps {
  readonly store: Store;
  readonly keys: Keys;
  readonly config: ConfigSource;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Asks auth webhooks; the platform's by default. */
  readonly fetch?: typeof fetch;
}

/** Requests under way at most: about 20 KB each while a webhook is waited for. */
const REQUESTS_IN_FLIGHT_MAX = 5000;
/** After stop was asked, requests under way have so long; webhooks are the slowest of them. */
const STOP_GRACE_MS = 10_000;

/** Starts a registry; resolves when its ports listen. Rejects when a port is taken. */
export async function startRegistry(settings: RegistrySettings, deps: RegistryDeps): Promise<RunningRole> {
  const { clock, log, config, store, random } = deps;
  const { cluster, routingConfigMap } = settings;
  const directory = openDirectory({ store, config, configMap: routingConfigMap, cluster, random, clock, log });
  const apps = openApps({ config, configMap: settings.appsConfigMap, log });
  const metrics = openMetrics(directory);
  const service = openService({
    ...deps,
    cluster,
    tokenTtlMs: settings.tokenTtlMs,
    heartbeatIntervalMs: settings.heartbeatIntervalMs,
    apps,
    directory,
    webhook: openWebhook({ fetch: deps.fetch ?? fetch, clock }),
    admission: openAdmission(settings.registrationsPerSecond, clock),
    metrics,
  });
  const servers: HttpServer[] = [];
  const stopWatching = (): void => {
    directory.stop();
    apps.stop();
  };
  const kill = (): void => {
    stopWatching();
    for (const server of servers) server.kill();
  };
  try {
    await directory.polled; // else the first devices would be given gateways that are not there
    const { bind } = settings;
    const http = await startHttpServer({
      bind,
      port: settings.httpPort,
      routes: registryRoutes(service, metrics),
      log,
      bodyBytesMax: REQUEST_BYTES_MAX,
      requestsInFlightMax: REQUESTS_IN_FLIGHT_MAX,
      headers: CORS_HEADERS,
    });
    servers.push(http);
    const readiness = () => readinessOf(directory, apps);
    const admin = await startAdminHttp({ bind, port: settings.adminPort, log, registry: metrics.register, readiness });
    servers.push(admin);
    return {
      ports: { http: http.port, admin: admin.port },
      async stop() {
        await http.close(STOP_GRACE_MS);
        stopWatching();
        await admin.close(0);
      },
      kill,
    };
  } catch (error) {
    kill();
    throw error;
  }
}

/** Ready once it knows its apps and gateways; neither store nor gateways that are gone make it less so. */
function readinessOf(directory: Directory, apps: Apps): { ready: boolean; details: Readonly<Record<string, unknown>> } {
  const { revision, eligible, leasesKnown } = directory.state();
  const details = { routing: revision, apps: apps.revision(), gateways: eligible, store: leasesKnown };
  return { ready: revision !== null && apps.revision() !== null, details };
}
