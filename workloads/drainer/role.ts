// The drainer: backlogs of devices that come back, read at a pace of its own and handed to their gateways, so that a mass return costs the
// store its budget and live traffic nothing. It opens a link to every gateway with a lease; gateways ask over it. startDrainer wires
// the parts; main.ts, the embedded process and tests call it.
import { randomUUID } from 'node:crypto';
import { openLink } from '../link/client.ts';
import type { Link } from '../link/client.ts';
import { newLinkCounters } from '../link/counters.ts';
import { LiveGateways } from '../link/live-gateways.ts';
import type { BootId } from '../protocol/ids.ts';
import { startAdminHttp } from '../runtime/admin-http.ts';
import type { Readiness } from '../runtime/admin-http.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Keys } from '../runtime/credentials.ts';
import type { Log } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import type { drainerSettings } from '../settings/drainer.ts';
import type { SettingsOf } from '../settings/setting.ts';
import type { GatewayLease, Store } from '../store/port.ts';
import { Counts } from './counts.ts';
import { Feeds } from './feeds.ts';
import { Lease } from './lease.ts';
import { openMetrics } from './metrics.ts';

export type DrainerSettings = SettingsOf<typeof drainerSettings>;

export interface DrainerDeps {
  /** Stays its opener's to close. */
  readonly store: Store;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
}

/** Starts a drainer; resolves when its admin port listens, whether or not the store is there yet. Rejects when the port is taken. */
export async function startDrainer(settings: DrainerSettings, deps: DrainerDeps): Promise<RunningRole> {
  const { store, clock, log, random } = deps;
  const counts = new Counts();
  const linkCounters = newLinkCounters();
  const metrics = openMetrics();
  const feeds = new Feeds({ store, clock, log, random, counts, budget: settings, onTurn: metrics.waited });
  const gateways = new LiveGateways<Link>({
    store,
    pollMs: settings.leasePollMs,
    clock,
    log,
    open: (lease) => linkTo(lease, { settings, deps, feeds, counters: linkCounters }),
    close: (link) => link.close(),
  });
  const lease = new Lease({
    store,
    name: settings.name,
    bootId: randomUUID() as BootId,
    leaseMs: settings.leaseMs,
    clock,
    log,
    onDrainers: (drainers) => feeds.share(drainers),
  });
  const linksUp = (): number => [...gateways.all()].filter((link) => link.isUp()).length;
  metrics.show({
    counts,
    feeds,
    links: linkCounters,
    drainers: () => lease.drainers,
    gateways: () => ({ known: gateways.size, up: linksUp() }),
  });
  let stopping = false;
  // Ready from the first reading of the leases, whatever the store does afterwards.
  const readiness = (): Readiness => ({
    ready: !stopping && gateways.isKnown,
    details: {
      state: stopping ? 'stopping' : gateways.isKnown ? 'active' : 'starting',
      store: lease.storeReachable ? 'reachable' : 'away',
      gateways: gateways.size,
      links: linksUp(),
      drainers: lease.drainers,
      queue: feeds.queue.waiting,
    },
  });
  const { bind, adminPort } = settings;
  const admin = await startAdminHttp({ bind, port: adminPort, log, registry: metrics.registry, readiness });
  feeds.start();
  await Promise.all([lease.start(), gateways.start()]);
  const endParts = (): void => {
    stopping = true;
    feeds.stop();
    lease.stop();
  };
  return {
    ports: { admin: admin.port },
    async stop() {
      endParts();
      await lease.drop();
      gateways.stop(); // what gateways had asked for they ask of another drainer, or read themselves
      await admin.close(0);
    },
    kill() {
      endParts();
      for (const link of gateways.all()) link.kill();
      gateways.stop();
      admin.kill();
    },
  };
}

interface LinkParts {
  readonly settings: DrainerSettings;
  readonly deps: DrainerDeps;
  readonly feeds: Feeds;
  readonly counters: ReturnType<typeof newLinkCounters>;
}

function linkTo(lease: GatewayLease, { settings, deps, feeds, counters }: LinkParts): Link {
  const { keys, clock, log, random } = deps;
  const link: Link = openLink({
    address: lease.linkAddress,
    keys: () => keys.current().link,
    name: settings.name,
    role: 'drainer',
    expectName: lease.gateway,
    clock,
    log,
    random,
    counters,
    onFrame: (frame) => {
      if (frame.kind === 'feed-request') feeds.take(link, frame);
    },
    onDown: () => feeds.forget(link),
  });
  return link;
}
