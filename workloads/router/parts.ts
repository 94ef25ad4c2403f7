// The router's parts, wired: who asks, quotas, the push path, hints and live messages towards gateways, other routers, upkeep, metrics.
// role.ts opens ports for them and takes them down.
import { randomBytes } from 'node:crypto';
import type { Bus } from '../bus/port.ts';
import type { BootId } from '../protocol/ids.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import type { Keys } from '../runtime/credentials.ts';
import type { Log } from '../runtime/log.ts';
import { openPoster } from '../runtime/signed-post.ts';
import type { routerSettings } from '../settings/router.ts';
import type { SettingsOf } from '../settings/setting.ts';
import type { Store } from '../store/port.ts';
import { openApiParts } from './api/api-parts.ts';
import type { ApiParts } from './api/api-parts.ts';
import { apiRoutes } from './api/api.ts';
import { openAuthorizer } from './api/authorize.ts';
import type { Authorizer } from './api/authorize.ts';
import { answerClient } from './doors/client-door.ts';
import { newRouterCounts } from './counts.ts';
import { Hints } from './delivery/hints.ts';
import type { HintsOptions } from './delivery/hints.ts';
import { Intake, memoryLimitOf } from './intake.ts';
import { LivePath } from './delivery/live-path.ts';
import { LiveQueue } from './delivery/live-queue.ts';
import { openMetrics } from './metrics.ts';
import type { RouterMetrics } from './metrics.ts';
import { Owners } from './delivery/owners.ts';
import { Quotas } from './api/quota.ts';
import { RouterPeers } from './delivery/router-peers.ts';
import { Stamps } from './delivery/stamps.ts';
import { startUpkeep } from './upkeep.ts';
import type { Upkeep } from './upkeep.ts';
import { keysRoute, postNotices } from './webhooks.ts';

export type RouterSettings = SettingsOf<typeof routerSettings>;

export interface RouterDeps {
  /** Stays its opener's to close. */
  readonly store: Store;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  /** Null: no bus is configured. Stays its opener's to close. */
  readonly bus: Bus | null;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly config: ConfigSource;
}

export interface Parts {
  /** This life of the router, and its name towards gateways and other routers: several may share a host. */
  readonly bootId: BootId;
  readonly name: string;
  readonly authorizer: Authorizer;
  readonly hints: Hints;
  readonly liveQueue: LiveQueue;
  readonly livePath: LivePath;
  readonly stamps: Stamps;
  /** Made by role.ts once the link port is known. */
  readonly peers: { current: RouterPeers | null };
  openPeers(linkAddress: string | null): RouterPeers;
  readonly upkeep: Upkeep;
  /** Commands, jobs and what they need. */
  readonly api: ApiParts;
  readonly metrics: RouterMetrics;
  readonly bus: Bus | null;
  readonly intake: Intake;
  readonly routes: ReturnType<typeof apiRoutes>;
}

export function openParts(settings: RouterSettings, deps: RouterDeps): Parts {
  const { store, keys, clock, log, random } = deps;
  const bootId = randomBytes(9).toString('base64url') as BootId;
  const name = `router-${bootId}`;
  const counts = newRouterCounts();
  const quotas = new Quotas(() => 1 + (peers.current?.count ?? 0));
  const hints = openHints(settings, deps, {
    name,
    counts,
    onRoom: () => liveQueue.roomChanged(),
    onOffline: (of, devices) => api.waiting(of, devices),
    onCommand: (command) => answerClient({ authorizer, commands: api.commands, log }, command),
  });
  const liveQueue = new LiveQueue({
    clock,
    gateways: () => hints.gateways.all(),
    onMissed: () => void counts.liveMissed++,
  });
  const stamps = new Stamps(clock);
  const owners = new Owners();
  const peers: Parts['peers'] = { current: null };
  const livePath = new LivePath({
    own: bootId,
    owners,
    peers: {
      canReach: (boot) => peers.current?.canReach(boot) === true,
      forward: (boot, message) => peers.current?.forward(boot, message) ?? Promise.resolve(null),
    },
    stamps,
    sendTopic: (delivery) => liveQueue.send(delivery),
    sendDevice: (delivery) => hints.sendLive(delivery),
    onForwarded: () => void counts.liveForwarded++,
  });
  const authorizer = openAuthorizer({
    config: deps.config,
    configMap: settings.appsConfigMap,
    clock,
    log,
    onApps: (apps) => quotas.keep(apps),
  });
  const intake = new Intake({
    limits: {
      memoryBytesMax: memoryLimitOf(settings.intakeMemoryBytesMax, process.constrainedMemory()),
      bandwidthBytesPerSecond: settings.intakeBytesPerSecond,
    },
    clock,
    log,
    memoryBytes: () => process.memoryUsage.rss(),
    bytes: () => counts.pushBytes + hints.linkCounters.bytesIn + hints.linkCounters.bytesOut,
  });
  const api = openApiParts({ ...deps, intake, authorizer, quotas, hints, live: livePath, counts });
  const post = openPoster({
    keys: () => keys.current().webhook,
    allowPrivate: settings.webhookPrivate === 'true',
    clock,
  });
  api.handle(
    'notice',
    postNotices({ post, appOf: (app) => authorizer.app(app), nowMs: () => clock.nowMs(), random, log, counts }),
  );
  const upkeep = startUpkeep({ store, clock, log, random, counts });
  return {
    bootId,
    name,
    authorizer,
    hints,
    liveQueue,
    livePath,
    stamps,
    peers,
    openPeers: (linkAddress) =>
      (peers.current = new RouterPeers({
        store,
        lease: linkAddress === null ? null : { role: 'router', name, bootId, linkAddress },
        name,
        keys: () => keys.current().link,
        clock,
        log,
        random,
        stamps,
        onPeers: (boots) => {
          if (owners.set(boots)) log.info({ routers: boots.length }, 'routers that share live messages changed');
        },
        onStoreFailure: () => void counts.storeFailures++,
      })),
    upkeep,
    api,
    metrics: openMetrics({
      counts,
      hints,
      live: liveQueue,
      upkeep,
      peers,
      gauges: api.gauges,
      journal: api.journal,
      intake,
    }),
    routes: [...apiRoutes({ authorizer, commands: api.commands }), keysRoute(() => keys.current().webhook)],
    bus: deps.bus,
    intake,
  };
}

function openHints(
  settings: RouterSettings,
  { store, keys, clock, log, random, bus }: RouterDeps,
  more: Pick<HintsOptions, 'counts' | 'onRoom' | 'onOffline'> & Pick<HintsOptions['link'], 'name' | 'onCommand'>,
): Hints {
  const { leasePollMs, routeCacheMs, routeCacheRowsMax } = settings;
  return new Hints({
    store,
    leasePollMs,
    routeCacheMs,
    routeCacheRowsMax,
    clock,
    log,
    counts: more.counts,
    bus,
    link: { name: more.name, keys: () => keys.current().link, random, onCommand: more.onCommand },
    onRoom: more.onRoom,
    onOffline: more.onOffline,
  });
}
