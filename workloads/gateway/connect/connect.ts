// Connecting, from the hello to the first message, as a list of named steps. dispatch.ts starts it with the hello frame. A step goes on,
// or names the close code that ends the connection; whoever is gone between two steps is cleaned up after.
import type { CloseName } from '../../protocol/codes.ts';
import type { TicketClaims, TokenClaims } from '../../protocol/credentials.ts';
import { PROTOCOL_VERSION } from '../../protocol/frames.ts';
import type { HelloFrame } from '../../protocol/frames.ts';
import type { StreamName } from '../../protocol/streams.ts';
import { verifyTicket, verifyToken } from '../../runtime/credentials.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import type { Turn } from './admission.ts';
import type { Connection } from './connection.ts';
import { catchUp } from '../delivery/deliver.ts';
import type { Gateway } from '../gateway.ts';
import { askStore, missingEntries, tellReplaced, withEveryone } from './open-session.ts';
import type { Opened, Opening } from './open-session.ts';
import { enliven, openStreams } from './recovery.ts';
import { endRaised } from './route-check.ts';
import type { OpenedStream } from './recovery.ts';
import { Session } from './session.ts';
import type { Permission } from './session.ts';
import type { Place } from './start.ts';
import { streamRequests } from './stream-requests.ts';
import { welcomeClient } from './welcome.ts';

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
  token: Opening['token'];
  opened: Opened | null;
  streams: readonly OpenedStream[];
}
type Step = (attempt: Attempt) => Refusal | null | Promise<Refusal | null>;

const STEPS: readonly Step[] = [
  checkVersion,
  checkTicketOfHello,
  waitForTurn,
  checkTokenOfHello, // 110 µs against a ticket's 8: at the pace of turns
  openSession, // the store now names this gateway: from here on reading is safe (R1)
  replaceOlder,
  holdEveryone, // the place from which the device is owed what everyone is sent
  findPlaces, // with the first page of what is missing
  welcome, // states, then pages, then hints, the early ones first
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
    if (error instanceof StoreUnavailableError) openWithoutStore(attempt, error);
    else {
      gateway.log.error({ err: error }, 'session not opened by a bug');
      connection.close('internal');
    }
  } finally {
    forgetAttempt(attempt);
  }
}

/** The store is away: the signature is enough (R13), unless a setting says otherwise. */
function openWithoutStore(attempt: Attempt, error: StoreUnavailableError): void {
  const { gateway, connection, hello, opened, resumes } = attempt;
  if (!isOpening(connection)) return;
  gateway.log.debug({ problem: error.message }, 'session not opened in the store');
  const refusal: CloseName | null =
    gateway.settings.failOpen === 'yes'
      ? gateway.provisional.open(connection, { hello, opening: openingOf(attempt), resumed: resumes !== null, opened })
      : 'storeUnavailable';
  if (refusal !== null) connection.close(refusal);
}

function openingOf({ permission, resumes, token }: Attempt): Opening {
  return { permission: permission!, expectGeneration: resumes, token };
}

/** Read through a function, since it changes while a step waits. */
function isOpening(connection: Connection): boolean {
  return connection.phase === 'opening';
}

function checkVersion({ hello }: Attempt): Refusal | null {
  if (hello.version === PROTOCOL_VERSION) return null;
  return { close: 'version', detail: `expected ${PROTOCOL_VERSION}, got ${hello.version}` };
}

/** By ticket where there is a good one, else by token, once it is its turn. Cost: 8 µs. */
function checkTicketOfHello(attempt: Attempt): Refusal | null {
  const { ticket, token } = attempt.hello;
  if (ticket === undefined && token === undefined)
    return { close: 'protocol', detail: 'hello: expected token or ticket' };
  const refusal = ticket === undefined ? null : checkTicket(attempt, ticket);
  return token === undefined ? refusal : null;
}

/** Cost: 110 µs where there was no good ticket. */
function checkTokenOfHello(attempt: Attempt): Refusal | null {
  return attempt.permission === null ? checkToken(attempt, attempt.hello.token!) : null;
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

function permissionOf(gateway: Gateway, claims: TicketClaims | TokenClaims): Permission {
  const { app, account, device, presence = false, iat } = claims;
  const topics = gateway.directory.app(app).sharePatterns(claims.topics);
  return { app, account, device, topics, presence, issuedAtS: iat };
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
  const here = gateway.directory.app(app);
  here.beginOpening(device, connection);
  // Nobody waits for a store that does not answer.
  if (!gateway.state.storeReachable) throw new StoreUnavailableError('the lease was not renewed either');
  const opened = await askStore(gateway, openingOf(attempt));
  if (opened.kind === 'revoked') return { close: 'revoked' };
  // `device-unknown` with a ticket: only a token can register the device anew.
  if (opened.kind !== 'opened') return { close: 'ticketStale' };
  attempt.opened = opened;
  const hints = here.opening.get(device)!;
  hints.generation = Math.max(hints.generation, opened.generation);
  return null;
}

/** The connection that this session takes over from is told (R8). */
function replaceOlder({ gateway, connection, resumes, permission, opened }: Attempt): Refusal | null {
  const { app, device } = permission!;
  const here = gateway.directory.app(app);
  const known = here.devices.get(device)?.session?.generation ?? 0;
  if (known > opened!.generation) return { close: 'replaced' }; // a newer one overtook this attempt
  tellReplaced(gateway, permission!, opened!, resumes !== null);
  connection.session = new Session(permission!, opened!.generation);
  here.devices.set(device, connection);
  return null;
}

async function holdEveryone(attempt: Attempt): Promise<Refusal | null> {
  attempt.opened = await withEveryone(attempt.gateway, attempt.permission!, attempt.opened!);
  return null;
}

async function findPlaces(attempt: Attempt): Promise<Refusal | null> {
  const { gateway, connection, hello } = attempt;
  const claims = new Map<StreamName, Place>();
  for (const { stream, epoch, offset } of hello.positions ?? []) claims.set(stream, { epoch, offset });
  gateway.backlog.begin(connection, hello, missingEntries(connection, attempt.opened!, claims));
  attempt.streams = await openStreams(gateway, connection, streamRequests(attempt.opened!, claims));
  return null;
}

function welcome({ gateway, connection, resumes, permission, streams }: Attempt): Refusal | null {
  const { app, device } = permission!;
  const states = streams.flatMap(({ state }) => state ?? []);
  welcomeClient(connection, { resumed: resumes !== null, streams: states });
  gateway.backlog.parkRest(connection);
  enliven(gateway, connection, streams);
  catchUp(gateway, connection, gateway.directory.app(app).opening.get(device)!.heard());
  return null;
}

/** However the attempt ended. Once nobody opens a session of the device any more, the newest route has its session, or goes. */
function forgetAttempt({ gateway, connection, permission }: Attempt): void {
  if (permission === null) return;
  const { app, device } = permission;
  const here = gateway.directory.app(app);
  const generation = here.endOpening(device, connection);
  // Its own, which lives or has taken its route along.
  if (generation === 0 || connection.session?.generation === generation) return;
  const present = here.devices.get(device);
  if ((present?.session?.generation ?? 0) >= generation) return;
  void endRaised(gateway, { app, device, generation }, present);
}
