// The router: push API in, store, links to gateways out. startRouter opens the ports for the parts (parts.ts) and takes them down again;
// main.ts, the embedded process and tests call it.
import { busState } from '../bus/port.ts';
import { startLinkServer } from '../link/server.ts';
import type { LinkPeer, LinkServer } from '../link/server.ts';
import type { LinkFrame } from '../protocol/link.ts';
import { startAdminHttp } from '../runtime/admin-http.ts';
import { startHttpServer } from '../runtime/http.ts';
import type { HttpServer } from '../runtime/http.ts';
import type { RunningRole } from '../runtime/role.ts';
import { openParts } from './parts.ts';
import type { Parts, RouterDeps, RouterSettings } from './parts.ts';
import { answerClock } from './delivery/router-peers.ts';
import { startTcpDoor } from './doors/tcp-door.ts';
import type { TcpDoor } from './doors/tcp-door.ts';
import { answerUpstream } from './doors/upstream-door.ts';
import { stopGraceMs } from './stop-grace.ts';

export type { RouterDeps, RouterSettings } from './parts.ts';

/** Rejects when a port is taken. Gateways and apps may come later: it is ready once it has read its apps. */
export async function startRouter(settings: RouterSettings, deps: RouterDeps): Promise<RunningRole> {
  const router = new RunningRouter(settings, deps);
  try {
    await router.open();
  } catch (error) {
    router.kill();
    throw error;
  }
  return router;
}

class RunningRouter implements RunningRole {
  readonly #settings: RouterSettings;
  readonly #deps: RouterDeps;
  readonly #parts: Parts;
  #http: HttpServer | null = null;
  #admin: HttpServer | null = null;
  #tcp: TcpDoor | null = null;
  #links: LinkServer | null = null;
  #stopping = false;

  constructor(settings: RouterSettings, deps: RouterDeps) {
    this.#settings = settings;
    this.#deps = deps;
    this.#parts = openParts(settings, deps);
  }

  get ports(): Readonly<Record<string, number>> {
    return {
      http: this.#http?.port ?? 0,
      tcp: this.#tcp?.port ?? 0,
      link: this.#links?.port ?? 0,
      admin: this.#admin?.port ?? 0,
    };
  }

  async open(): Promise<void> {
    const { bind, httpPort, tcpPort, adminPort, linkHost, requestsInFlightMax } = this.#settings;
    const { log } = this.#deps;
    const { hints, metrics, routes, authorizer, api } = this.#parts;
    await hints.gateways.start();
    if (linkHost !== '') this.#links = await this.#listenForRouters();
    const address = this.#links === null ? null : `${linkHost}:${this.#links.port}`;
    await this.#parts.openPeers(address).start();
    await api.journal?.start();
    this.#http = await startHttpServer({
      bind,
      port: httpPort,
      routes,
      log,
      requestsInFlightMax,
      onAnswer: (route, status, ms) => metrics.answered(route, status, ms),
    });
    const ops = new Set(api.commands.ops); // a name that is none is whatever somebody sent
    this.#tcp = await startTcpDoor({
      bind,
      port: tcpPort,
      authorizer,
      commands: api.commands,
      clock: this.#deps.clock,
      log,
      onReply: (op, status, ms) => metrics.answered(ops.has(op) ? `tcp ${op}` : 'tcp', status, ms),
    });
    this.#admin = await startAdminHttp({
      bind,
      port: adminPort,
      log,
      registry: metrics.register,
      readiness: () => ({
        ready: !this.#stopping && authorizer.revision() !== null,
        details: describe(this.#parts, this.#stopping),
      }),
    });
    log.info({ ...this.ports }, 'router started');
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    // No more live messages from other routers: they find the next owner while requests here end.
    await this.#parts.peers.current?.stop('close');
    await this.#links?.stop();
    const graceMs = stopGraceMs(this.#settings.busTimeoutMs);
    await Promise.all([this.#http?.close(graceMs), this.#tcp?.close(graceMs)]);
    await this.#parts.api.stop();
    this.#endParts('close');
    await this.#admin?.close(1000);
  }

  kill(): void {
    this.#http?.kill();
    this.#tcp?.kill();
    this.#admin?.kill();
    this.#links?.kill();
    void this.#parts.peers.current?.stop('kill');
    void this.#parts.api.stop();
    this.#endParts('kill');
  }

  #endParts(how: 'close' | 'kill'): void {
    const { authorizer, upkeep, liveQueue, hints, intake } = this.#parts;
    intake.stop();
    authorizer.stop();
    upkeep.stop();
    liveQueue.stop();
    hints.gateways.stop(how);
  }

  #listenForRouters(): Promise<LinkServer> {
    const { clock, log, keys } = this.#deps;
    return startLinkServer({
      bind: this.#settings.bind,
      port: this.#settings.linkPort,
      keys: () => keys.current().link,
      name: this.#parts.name,
      role: 'router',
      clock,
      log,
      onFrame: (peer, frame) => this.#take(peer, frame),
      onClose: () => {},
    });
  }

  #take(peer: LinkPeer, frame: LinkFrame): void {
    const { log } = this.#deps;
    if (frame.kind === 'command' && peer.role === 'upstream') {
      const { authorizer, api } = this.#parts;
      answerUpstream({ authorizer, commands: api.commands, log }, frame)
        .then((reply) => peer.send(reply))
        .catch((error: unknown) => log.error({ err: error }, 'a command of upstream failed by a bug'));
    } else if (frame.kind === 'command') {
      const reply = answerClock(frame, this.#parts.stamps);
      if (reply !== null) peer.send(reply);
    } else if (frame.kind === 'forward-live') {
      this.#parts.livePath
        .take(frame)
        .then((answer) => peer.send(answer))
        .catch((error: unknown) => log.error({ err: error }, 'a forwarded message failed by a bug'));
    }
  }
}

/** For people who ask /readyz; the store and the gateways do not decide readiness, or one outage would take all routers out. */
function describe(
  { authorizer, hints, peers, bus, api, intake }: Parts,
  stopping: boolean,
): Readonly<Record<string, unknown>> {
  const gateways = [...hints.gateways.all()];
  return {
    stopping,
    appsRevision: authorizer.revision(),
    leasesRead: hints.gateways.isKnown,
    gateways: gateways.length,
    linksUp: gateways.filter((link) => link.isUp).length,
    circuitsOpen: gateways.filter(({ circuit }) => circuit !== 'closed').map(({ lease }) => lease.gateway),
    intake: intake.level,
    journalling: api.journal?.isNeeded ?? false,
    bus: busState(bus),
    busProblem: bus?.health().problem ?? null,
    routers: 1 + (peers.current?.count ?? 0),
    routerLinksUp: peers.current?.linksUp ?? 0,
  };
}
