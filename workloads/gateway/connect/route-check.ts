// Confirms the routes of live sessions with the store: without a route no hint comes. It finds what nobody told us: a newer session whose
// word was lost on a link, a route that was swept while our lease had run out, a store that lost its tail. position-check.ts brings the
// routes of all sessions once a round; who has a doubt asks here.
import type { AppId, DeviceId } from '../../protocol/ids.ts';
import type { Route } from '../../store/port.ts';
import type { Connection } from './connection.ts';
import { catchUp, closeReplaced } from '../delivery/deliver.ts';
import type { Gateway } from '../gateway.ts';
import { makeTicket } from './tickets.ts';

/** Looks at these sessions once. Rejects as the store does; the next round looks again. */
export async function checkRoutes(gateway: Gateway, connections: readonly Connection[]): Promise<void> {
  const byApp = new Map<AppId, Connection[]>();
  for (const connection of connections) {
    const { app } = connection.session!.permission;
    const list = byApp.get(app);
    if (list === undefined) byApp.set(app, [connection]);
    else list.push(connection);
  }
  for (const [app, list] of byApp) {
    const devices = list.map((connection) => connection.session!.permission.device);
    const routes = await gateway.store.routes(app, devices);
    await Promise.all(list.map((connection, i) => confirmRoute(gateway, connection, routes[i]!)));
  }
}

/** What follows from the route that the store has of a live session now. Rejects as the store does. */
export async function confirmRoute(gateway: Gateway, connection: Connection, route: Route | null): Promise<void> {
  if (connection.phase !== 'live' || connection.session!.provisional) return;
  const { permission, generation } = connection.session!;
  const { app, device } = permission;
  if (route !== null && route.generation > generation && isOfThisPlace(connection, route)) {
    // Whoever is opening takes over, or asks here once it has given up.
    if (!gateway.directory.app(app).opening.has(device)) takeRoute(gateway, connection, route);
    return;
  }
  // By token or by ticket, that is not known here; a client that moved by itself no longer listens to this connection.
  if (route !== null && route.generation > generation)
    closeReplaced(gateway, { app, device, generation: route.generation, resumed: false });
  else if (route === null || route.bootId !== gateway.bootId) await reopen(gateway, connection);
}

/**
 * A newer generation than that of the session that is here now was raised by attempts of its device at this gateway that gave up: the
 * route is the session's, since it names this life and nobody else of the device is here. Without a session, it goes. Never rejects.
 */
export async function endRaised(
  gateway: Gateway,
  raised: { readonly app: AppId; readonly device: DeviceId; readonly generation: number },
  present: Connection | undefined,
): Promise<void> {
  try {
    if (present?.phase === 'live') await checkRoutes(gateway, [present]);
  } catch (error) {
    gateway.log.debug({ problem: String(error) }, 'route not confirmed, with the next position check');
  }
  if (present?.phase !== 'live' || present.session!.provisional)
    gateway.departures.add({ ...raised, bootId: gateway.bootId });
}

/** It names this life and the account of the session that is the device's here. */
function isOfThisPlace(connection: Connection, route: Route): boolean {
  const { gateway, session } = connection;
  const { app, account, device } = session!.permission;
  const isPresent = gateway.directory.find(app)?.devices.get(device) === connection;
  return isPresent && route.bootId === gateway.bootId && route.account === account;
}

/** Our own opening whose answer was lost, or that gave up: the route is this session's. Acks that came meanwhile may not have counted. */
function takeRoute(gateway: Gateway, connection: Connection, route: Route): void {
  const session = connection.session!;
  session.generation = route.generation;
  for (const cursor of session.cursors) {
    if (cursor.epoch === null) continue;
    if (cursor.lane !== null) {
      if (cursor.acked > 0) gateway.settles.noteNow(connection, cursor);
    } else {
      cursor.unstored = true;
      gateway.cursorFlush.note(connection);
    }
  }
  handTicket(gateway, connection);
}

/** The ticket that goes with a generation that was raised while the connection lives. */
function handTicket(gateway: Gateway, connection: Connection): void {
  const targets = gateway.targets.forResume();
  connection.send({ type: 'pong', ticket: makeTicket(gateway, connection), targets });
}

/** Opens the session again under a new generation; the client is handed the ticket that goes with it. */
async function reopen(gateway: Gateway, connection: Connection): Promise<void> {
  const session = connection.session!;
  const { app, account, device, issuedAtS } = session.permission;
  const opened = await gateway.store.openSession({
    app,
    account,
    device,
    expectGeneration: session.generation,
    permittedAtMs: issuedAtS * 1000,
    gateway: gateway.name,
    bootId: gateway.bootId,
  });
  if (opened.kind !== 'opened') {
    // Superseded, revoked, or unknown to a store that was emptied: its credentials decide at the next connect.
    connection.close('internal', 'route lost');
  } else if (connection.phase === 'live') {
    session.generation = opened.generation;
    handTicket(gateway, connection);
    // Until now no hint could come.
    const reached = opened.lanes.map(({ lane, epoch, head }) => [lane, { epoch, head }] as const);
    catchUp(gateway, connection, reached);
  } else {
    gateway.departures.add({ app, device, generation: opened.generation, bootId: gateway.bootId });
  }
}
