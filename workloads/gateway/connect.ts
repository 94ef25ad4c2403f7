// Connecting, from the hello to the first message, as a list of named steps. dispatch.ts starts it with the hello frame. A step goes on,
// or names the close code that ends the connection; whoever is gone between two steps is cleaned up after.
import type { CloseName } from '../protocol/codes.ts';
import { PROTOCOL_VERSION } from '../protocol/frames.ts';
import type { HelloFrame } from '../protocol/frames.ts';
import { TOPIC_ALL } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { StreamName } from '../protocol/streams.ts';
import { verifyTicket, verifyToken } from '../runtime/credentials.ts';
import type { OpenedSession } from '../store/port.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { Turn } from './admission.ts';
import { missingOf } from './backlog-plan.ts';
import type { Connection } from './connection.ts';
import { closeReplaced } from './deliver.ts';
import type { Gateway } from './gateway.ts';
import { enliven, openStreams } from './recovery.ts';
import type { OpenedStream } from './recovery.ts';
import { Session } from './session.ts';
import type { Permission } from './session.ts';
import type { Place } from './start.ts';
import { streamRequests } from './stream-requests.ts';
import { makeTicket } from './tickets.ts';

export interface Refusal {
  readonly close: CloseName;
  readonly detail?: string;
}
interface Attempt {
  readonly gateway: Gateway;
  readonly connection: Connection;
  readonly hello: HelloFrame;
  permission: Permission | null;
  /** By ticket: the generation it names. */
  resumes: number | null;
  /** By token: id and end, to register a device that the store does not know. */
  token: { readonly id: string; readonly expiresAtMs: number } | null;
  opened: Extract<OpenedSession, { kind: 'opened' }> | null;
  streams: readonly OpenedStream[];
}
type Step = (attempt: Attempt) => Refusal | null | Promise<Refusal | null>;

const STEPS: readonly Step[] = [
  checkVersion,
  checkPermission,
  waitForTurn,
  openSession, // the store now names this gateway: from here on reading is safe (R1)
  replaceOlder,
  holdEveryone, // the place from which the device is owed what everyone is sent
  findPlaces, // with the first page of what is missing
  welcome, // states, then pages, then hints
];

/** Runs the steps. Never rejects. */
export async function connect(gateway: Gateway, connection: Connection, hello: HelloFrame): Promise<void> {
  connection.phase = 'opening';
  const { heartbeatIntervalMs, heartbeatsMissedMax } = gateway.settings;
  gateway.wheel.schedule(connection, gateway.wheel.nowMs + heartbeatIntervalMs * heartbeatsMissedMax);
  const blank = { permission: null, resumes: null, token: null, opened: null, streams: [] };
  const attempt: Attempt = { gateway, connection, hello, ...blank };
  try {
    for (const step of STEPS) {
      const refusal = await step(attempt);
      if (refusal !== null) connection.close(refusal.close, refusal.detail);
      if (!isOpening(connection)) break;
    }
  } catch (error) {
    const isStoreAway = error instanceof StoreUnavailableError;
    if (isStoreAway) gateway.log.warn({ problem: error.message }, 'session not opened');
    else gateway.log.error({ err: error }, 'session not opened by a bug');
    connection.close(isStoreAway ? 'storeUnavailable' : 'internal');
  } finally {
    forgetAttempt(attempt);
  }
}

/** Read through a function, since it changes while a step waits. */
function isOpening(connection: Connection): boolean {
  return connection.phase === 'opening';
}

function checkVersion({ hello }: Attempt): Refusal | null {
  if (hello.version === PROTOCOL_VERSION) return null;
  return { close: 'version', detail: `expected ${PROTOCOL_VERSION}, got ${hello.version}` };
}

/** By ticket where there is a good one, else by token. Cost: 8 µs or 110 µs. */
function checkPermission(attempt: Attempt): Refusal | null {
  const { hello } = attempt;
  if (hello.ticket !== undefined) {
    const refusal = checkTicket(attempt, hello.ticket);
    if (refusal === null || hello.token === undefined) return refusal;
  }
  if (hello.token !== undefined) return checkToken(attempt, hello.token);
  return { close: 'protocol', detail: 'hello: expected token or ticket' };
}

function checkTicket(attempt: Attempt, ticket: string): Refusal | null {
  const { gateway } = attempt;
  const verdict = verifyTicket(ticket, { keys: gateway.keys.current(), nowMs: gateway.clock.nowMs() });
  if (verdict.kind !== 'valid') return { close: 'ticketStale', detail: verdict.reason };
  const { claims } = verdict;
  if (claims.targets.length > 0 && !claims.targets.includes(gateway.name))
    return { close: 'ticketStale', detail: 'for other gateways' };
  attempt.permission = permissionOf(gateway, claims);
  attempt.resumes = claims.generation;
  return null;
}

function checkToken(attempt: Attempt, token: string): Refusal | null {
  const { gateway } = attempt;
  const { cluster } = gateway.settings;
  const verdict = verifyToken(token, { keys: gateway.keys.current(), cluster, nowMs: gateway.clock.nowMs() });
  if (verdict.kind !== 'valid')
    return verdict.kind === 'expired' ? { close: 'tokenExpired' } : { close: 'tokenInvalid', detail: verdict.reason };
  attempt.permission = permissionOf(gateway, verdict.claims);
  attempt.token = { id: verdict.claims.jti, expiresAtMs: verdict.claims.exp * 1000 };
  return null;
}

function permissionOf(gateway: Gateway, claims: Omit<Permission, 'issuedAtS'> & { iat: number }): Permission {
  const { app, account, device, topics, iat } = claims;
  return { app, account, device, topics: gateway.directory.app(app).sharePatterns(topics), issuedAtS: iat };
}

async function waitForTurn({ gateway, resumes }: Attempt): Promise<Refusal | null> {
  const nowMs = gateway.clock.nowMs();
  if (gateway.drain.refusesClients || gateway.state.life !== 'active')
    return overloaded(gateway.admission.retryAfterMs(nowMs));
  const turn = await new Promise<Turn>((grant) => {
    gateway.admission.ask(resumes === null ? 'newcomer' : 'resumer', nowMs, grant);
  });
  return turn.kind === 'go' ? null : overloaded(turn.retryAfterMs);
}

function overloaded(retryAfterMs: number): Refusal {
  return { close: 'overloaded', detail: `retry-after=${retryAfterMs}` };
}

async function openSession(attempt: Attempt): Promise<Refusal | null> {
  const { gateway, connection } = attempt;
  const { app, device } = attempt.permission!;
  gateway.directory.app(app).opening.set(device, connection);
  const opened = await askStore(attempt);
  if (opened.kind === 'revoked') return { close: 'revoked' };
  // `device-unknown` with a ticket: only a token can register the device anew.
  if (opened.kind !== 'opened') return { close: 'ticketStale' };
  attempt.opened = opened;
  return null;
}

async function askStore(attempt: Attempt): Promise<OpenedSession> {
  const { gateway, token } = attempt;
  const { app, account, device, issuedAtS } = attempt.permission!;
  const route = { gateway: gateway.name, bootId: gateway.bootId, permittedAtMs: issuedAtS * 1000 };
  const request = { app, account, device, ...route, expectGeneration: attempt.resumes };
  const opened = await gateway.store.openSession(request);
  if (opened.kind !== 'device-unknown' || token === null) return opened;
  const accountDevicesMax = LIMITS.accountDevicesMax;
  const registration = {
    app,
    account,
    device,
    tokenId: token.id,
    tokenExpiresAtMs: token.expiresAtMs,
    accountDevicesMax,
  };
  const registered = await gateway.store.registerDevice(registration);
  return registered === 'account-full' ? { kind: 'revoked' } : gateway.store.openSession(request);
}

/** The connection that this session takes over from is told, here or at the gateway that holds it (R8). */
function replaceOlder(attempt: Attempt): Refusal | null {
  const { gateway, connection, resumes } = attempt;
  const { app, device } = attempt.permission!;
  const { generation, replaced } = attempt.opened!;
  const here = gateway.directory.app(app);
  const known = here.devices.get(device)?.session?.generation ?? 0;
  if (known > generation) return { close: 'replaced' }; // a newer one overtook this attempt
  const newer = { app, device, generation, resumed: resumes !== null };
  closeReplaced(gateway, newer);
  if (replaced !== null && replaced.bootId !== gateway.bootId) gateway.peers.tellReplaced(replaced, newer);
  connection.session = new Session(attempt.permission!, generation);
  here.devices.set(device, connection);
  return null;
}

/**
 * A device hears `$all` from its first session on. While nobody has written it there is no position that its client could come back with,
 * so the store keeps a row that says so; a stream that was written is told in the welcome, and its row follows with the cursors (R5).
 */
async function holdEveryone(attempt: Attempt): Promise<Refusal | null> {
  const { gateway } = attempt;
  const { app, device } = attempt.permission!;
  const opened = attempt.opened!;
  if (opened.topics.some(({ topic }) => topic === TOPIC_ALL)) return null;
  if ((gateway.directory.app(app).channels.get(TOPIC_ALL)?.epoch ?? null) !== null) return null;
  const rows = await gateway.store.subscribe(app, device, [{ topic: TOPIC_ALL, filter: null }]);
  attempt.opened = { ...opened, topics: [...opened.topics, ...rows] };
  return null;
}

async function findPlaces(attempt: Attempt): Promise<Refusal | null> {
  const { gateway, connection, hello } = attempt;
  const claims = new Map<StreamName, Place>();
  for (const { stream, epoch, offset } of hello.positions ?? []) claims.set(stream, { epoch, offset });
  gateway.backlog.begin(connection, hello, missingEntries(attempt, claims));
  attempt.streams = await openStreams(gateway, connection, streamRequests(attempt.opened!, claims));
  return null;
}

/** How much the device is behind, as far as that is known before anything is read. */
function missingEntries({ gateway, permission, ...attempt }: Attempt, claims: ReadonlyMap<StreamName, Place>): number {
  const opened = attempt.opened!;
  const { app } = permission!;
  let sum = 0;
  for (const lane of opened.lanes) sum += missingOf(lane, claims.get(`@${lane.lane}`) ?? null);
  const { channels } = gateway.directory.app(app);
  for (const { topic, epoch, offset } of opened.topics) {
    const channel = channels.get(topic);
    const from = claims.get(topic) ?? { epoch, offset };
    if (channel !== undefined && channel.epoch === from.epoch) sum += Math.max(0, channel.head - from.offset);
  }
  return sum;
}

function welcome({ gateway, connection, resumes, streams }: Attempt): Refusal | null {
  const { counts, settings, targets, name } = gateway;
  connection.phase = 'live';
  gateway.directory.sessions++;
  if (resumes === null) counts.opened++;
  else counts.resumed++;
  gateway.trace.noteSession(resumes === null ? 'connected' : 'resumed', connection.session!.permission);
  connection.send({
    type: 'welcome',
    version: PROTOCOL_VERSION,
    gateway: name,
    generation: connection.session!.generation,
    ticket: makeTicket(gateway, connection),
    targets: targets.forResume(),
    heartbeatIntervalMs: settings.heartbeatIntervalMs,
    streams: streams.flatMap(({ state }) => state ?? []),
  });
  gateway.backlog.parkRest(connection);
  enliven(gateway, connection, streams);
  return null;
}

/** However the attempt ended: nobody is opening any more, and a route without a connection goes. */
function forgetAttempt({ gateway, connection, permission, opened }: Attempt): void {
  if (permission === null) return;
  const { app, device } = permission;
  const { opening } = gateway.directory.app(app);
  if (opening.get(device) === connection) opening.delete(device);
  if (opened !== null && connection.session === null)
    gateway.departures.add({ app, device, generation: opened.generation, bootId: gateway.bootId });
}
