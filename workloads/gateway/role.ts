// A gateway from settings to running role: builds the parts, opens the ports, starts what repeats, and takes it all down again. main.ts
// and the embedded process call startGateway. Order matters: the lease is announced once the link port listens, and clients are
// taken once the lease is confirmed.
import { randomUUID } from 'node:crypto';
import type { BootId, GatewayName } from '../protocol/ids.ts';
import { startAdminHttp } from '../runtime/admin-http.ts';
import type { HttpServer } from '../runtime/http.ts';
import type { RunningRole } from '../runtime/role.ts';
import { TimeWheel } from '../runtime/wheel.ts';
import { startLinkServer } from '../link/server.ts';
import type { LinkServer } from '../link/server.ts';
import { openClientPort } from './connect/accept.ts';
import type { ClientPort } from './connect/accept.ts';
import { adminRoutes, readinessOf } from './admin.ts';
import { Admission } from './connect/admission.ts';
import { AttemptsFlush } from './endings/attempts.ts';
import { Backlog } from './backlog/backlog.ts';
import { BroadcastConsumer } from './delivery/broadcast-consumer.ts';
import { ClientCommands } from './upstream/client-commands.ts';
import type { ConnectionEvents } from './connect/connection.ts';
import { Counts } from './counts.ts';
import { isBehind } from './endings/cursor.ts';
import { CursorFlush } from './endings/cursor-flush.ts';
import { DeadLetters } from './endings/dead-letters.ts';
import { Departures } from './connect/departures.ts';
import { Directory } from './connect/directory.ts';
import { takeMessage } from './connect/dispatch.ts';
import { Drain } from './drain/drain.ts';
import { Filters } from './delivery/filter.ts';
import type { Gateway, GatewayDeps, GatewaySettings } from './gateway.ts';
import { HEADROOM_TICK_MS, Headroom } from './load/headroom.ts';
import { checkSilence } from './connect/heartbeat.ts';
import { Lease } from './lease.ts';
import { flushLate } from './delivery/late-live.ts';
import { leaveGateway } from './connect/leave.ts';
import { takeFrameOfLink } from './delivery/link-frames.ts';
import { openMetrics } from './metrics.ts';
import type { GatewayMetrics } from './metrics.ts';
import { Outbox } from './delivery/outbox.ts';
import { PageSource } from './backlog/page-source.ts';
import { Peers } from './connect/peers.ts';
import { PositionCheck } from './delivery/position-check.ts';
import { PresenceNotices } from './connect/presence-notices.ts';
import { Provisional } from './connect/provisional.ts';
import { ReadQueue } from './delivery/read-queue.ts';
import { Satisfied } from './endings/satisfied.ts';
import { Settles } from './endings/settles.ts';
import { leaveGracefully } from './drain/stop.ts';
import { Shedding } from './load/shedding.ts';
import { StoreReturn } from './connect/store-return.ts';
import { StreamReader } from './delivery/stream-reader.ts';
import { Targets } from './connect/targets.ts';
import { Trace } from './trace.ts';
import { Upstream } from './upstream/upstream.ts';
import { openVitals } from './load/vitals.ts';

export type { GatewayDeps, GatewaySettings } from './gateway.ts';

/** The wheel's tick: deadlines are seconds, so this is fine enough. */
const TICK_MS = 50;
/** One turn is 102 s: longer than the default 75 s of silence, so that no entry is looked at twice. */
const WHEEL_SLOTS = 2048;
const PEERS_SWEEP_MS = 10_000;

const events: ConnectionEvents = {
  message: takeMessage,
  left: (connection, phaseBefore) => leaveGateway(connection.gateway, connection, phaseBefore),
  gone: (connection) => connection.gateway.directory.remove(connection),
  due: checkSilence,
  drained(connection) {
    flushLate(connection.gateway, connection);
    for (const cursor of connection.session?.cursors ?? [])
      if (isBehind(cursor)) connection.gateway.reader.want(connection, cursor, 'now');
  },
};

/** Starts a gateway; resolves when its ports listen, whether or not the store is there yet. Rejects when a port is taken. */
export async function startGateway(settings: GatewaySettings, deps: GatewayDeps): Promise<RunningRole> {
  const gateway = buildGateway(settings, deps);
  const running = new RunningGateway(gateway);
  try {
    await running.open();
  } catch (error) {
    running.kill();
    throw error;
  }
  return running;
}

function buildGateway(settings: GatewaySettings, deps: GatewayDeps): Gateway {
  const { clock, random } = deps;
  const nowMs = clock.nowMs();
  const name = settings.name as GatewayName;
  const bootId = randomUUID() as BootId;
  const counts = new Counts();
  const wheel = new TimeWheel({ tickMs: TICK_MS, slots: WHEEL_SLOTS, nowMs });
  const headroom = new Headroom({ lateMsMax: settings.returnLateMsMax, nowMs: clock.monotonicMs() });
  const base = {
    ...deps,
    log: deps.log.child({ gateway: name, bootId }),
    settings,
    name,
    bootId,
    counts,
    events,
    wheel,
    trace: new Trace(() => wheel.nowMs),
    directory: new Directory(),
    filters: new Filters(),
    outbox: new Outbox(settings.outboxBytesMax),
    headroom,
    admission: new Admission({
      ratePerSecond: settings.acceptsPerSecond,
      rampMs: settings.acceptRampMs,
      nowMs,
      random,
      share: () => headroom.share,
    }),
    targets: new Targets(name),
    reads: new ReadQueue(deps.store, counts),
    state: { life: 'starting', ended: false, storeReachable: false, broadcasts: () => false, peers: () => [] },
  };
  // These parts know the gateway they are part of.
  const gateway = base as typeof base & { -readonly [K in keyof Gateway]: Gateway[K] };
  gateway.reader = new StreamReader(gateway);
  gateway.settles = new Settles(gateway);
  gateway.satisfied = new Satisfied(gateway);
  gateway.attempts = new AttemptsFlush(gateway);
  gateway.deadLetters = new DeadLetters(gateway);
  gateway.cursorFlush = new CursorFlush(gateway);
  gateway.departures = new Departures(gateway);
  gateway.upstream = new Upstream(gateway, deps.bus);
  gateway.peers = new Peers(gateway);
  gateway.drain = new Drain(gateway);
  gateway.pages = new PageSource(gateway);
  gateway.backlog = new Backlog(gateway);
  gateway.provisional = new Provisional(gateway);
  gateway.commands = new ClientCommands(gateway);
  gateway.presence = new PresenceNotices(gateway);
  gateway.shedding = new Shedding(gateway, deps.vitals ?? openVitals());
  return gateway;
}

class RunningGateway implements RunningRole {
  readonly #gateway: Gateway;
  readonly #metrics: GatewayMetrics;
  readonly #timers: (() => void)[] = [];
  #client: ClientPort | null = null;
  #links: LinkServer | null = null;
  #admin: HttpServer | null = null;
  #lease: Lease | null = null;
  readonly #positionCheck: PositionCheck;
  #stopping: Promise<void> | null = null;
  readonly #broadcasts: BroadcastConsumer | null;
  #isVoid = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    this.#metrics = openMetrics(gateway);
    this.#positionCheck = new PositionCheck(gateway);
    this.#broadcasts = gateway.bus === null ? null : new BroadcastConsumer(gateway, gateway.bus);
    gateway.state.broadcasts = () => this.#broadcasts?.isStanding ?? false;
  }

  get ports(): Readonly<Record<string, number>> {
    return { client: this.#client?.port ?? 0, link: this.#links?.port ?? 0, admin: this.#admin?.port ?? 0 };
  }

  async open(): Promise<void> {
    const gateway = this.#gateway;
    const { settings, clock, log, keys, name } = gateway;
    const links = await startLinkServer({
      bind: settings.bind,
      port: settings.linkPort,
      keys: () => keys.current().link,
      name,
      clock,
      log,
      onFrame: (peer, frame) => takeFrameOfLink(gateway, peer, frame),
      onClose(peer) {
        gateway.pages.forget(peer);
        gateway.commands.forget(peer);
      },
    });
    this.#links = links;
    gateway.state.peers = (role) => links.peers().filter((peer) => role === undefined || peer.role === role);
    await gateway.upstream.open();
    this.#client = await openClientPort(gateway);
    this.#admin = await startAdminHttp({
      bind: settings.bind,
      port: settings.adminPort,
      log,
      registry: this.#metrics.registry,
      healthy: () => !this.#isVoid,
      readiness: () => readinessOf(gateway),
      routes: adminRoutes(gateway),
      secrets: () => keys.current().admin,
    });
    this.#startTimers();
    const linkAddress = `${settings.linkHost}:${links.port}`;
    this.#lease = new Lease(gateway, { linkAddress, onVoid: () => this.#endVoid() });
    this.#positionCheck.start();
    await this.#lease.start();
    this.#broadcasts?.start();
  }

  #startTimers(): void {
    const { clock, wheel, settings, cursorFlush, peers, pages, commands, settles, shedding } = this.#gateway;
    const storeReturn = new StoreReturn(this.#gateway, this.#positionCheck);
    this.#timers.push(
      clock.every(TICK_MS, () => {
        const nowMs = clock.nowMs();
        wheel.advance(nowMs);
        pages.tick();
        storeReturn.tick(nowMs);
        commands.tick();
        settles.tick();
        shedding.tick(nowMs);
      }),
      clock.every(HEADROOM_TICK_MS, () => this.#letIn()),
      clock.every(settings.cursorFlushMs, () => void cursorFlush.flushSome()),
      clock.every(PEERS_SWEEP_MS, () => peers.closeIdle()),
    );
  }

  /** A few at a time: sessions that open together, and pages that come together, are one turn of the event loop. */
  #letIn(): void {
    const { clock, headroom, admission, backlog } = this.#gateway;
    headroom.tick(clock.monotonicMs());
    admission.tick(clock.nowMs());
    if (admission.waiting > 0) headroom.want();
    backlog.tick();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await leaveGracefully(this.#gateway);
    this.#gateway.state.ended = true;
    this.#client?.close();
    await this.#lease?.drop();
    this.#stopTimers();
    this.#gateway.peers.stop();
    await this.#broadcasts?.stop();
    await Promise.all([this.#links?.stop(), this.#admin?.close(0), this.#gateway.upstream.close()]);
  }

  kill(): void {
    this.#gateway.state.life = 'stopping';
    this.#gateway.state.ended = true;
    this.#stopTimers();
    this.#lease?.stop();
    this.#gateway.drain.stop();
    for (const connection of this.#gateway.directory.connections) connection.drop();
    this.#client?.close();
    this.#links?.kill();
    this.#admin?.kill();
    void this.#gateway.upstream.close();
    void this.#broadcasts?.stop();
    this.#gateway.peers.stop();
  }

  /** Another life has the name: clients go elsewhere, and the liveness probe ends this one. */
  #endVoid(): void {
    this.#isVoid = true;
    this.#gateway.state.life = 'stopping';
    for (const connection of this.#gateway.directory.connections) connection.close('stopping');
  }

  #stopTimers(): void {
    for (const cancel of this.#timers.splice(0)) cancel();
    this.#positionCheck.stop();
    this.#metrics.stop();
    this.#gateway.shedding.stop();
  }
}
