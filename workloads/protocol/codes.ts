// The two tables of everything that can be refused. Close codes: 4000–4499 mean reconnect, 4500–4999 mean do not.
// Reply errors answer one frame or one HTTP request; the connection stays. README.md prints both tables.

interface Row {
  readonly code: number;
  readonly reason: string;
  readonly when: string;
  readonly client: string;
}

/** WebSocket close codes. `reason` is the text sent with the code. */
export const CLOSE = {
  goaway: {
    code: 4000,
    reason: 'goaway',
    when: 'the deadline of a drain passed',
    client: 'resume with its ticket at a target',
  },
  silent: {
    code: 4001,
    reason: 'silent',
    when: 'nothing came for the heartbeat interval times the allowed silences',
    client: 'reconnect with backoff',
  },
  slow: {
    code: 4002,
    reason: 'slow',
    when: 'the outbox passed its limit for what may not be dropped, or nothing was read for a minute',
    client: 'reconnect with backoff and resume',
  },
  storeUnavailable: {
    code: 4003,
    reason: 'store-unavailable',
    when: 'the session could not be opened in the store',
    client: 'reconnect with backoff',
  },
  overloaded: {
    code: 4004,
    reason: 'overloaded',
    when: 'no room for another connection; the text carries retry-after',
    client: 'reconnect after the time given',
  },
  ticketStale: {
    code: 4005,
    reason: 'ticket-stale',
    when: 'the ticket was used before, has expired, or was made by an unknown key',
    client: 'connect with its token, without the ticket',
  },
  superseded: {
    code: 4006,
    reason: 'superseded',
    when: 'the same client resumed elsewhere; this is its old connection',
    client: 'nothing: the newer connection serves',
  },
  internal: { code: 4007, reason: 'internal', when: 'an error of the server', client: 'reconnect with backoff' },
  stopping: {
    code: 4008,
    reason: 'stopping',
    when: 'the gateway stops and its grace has ended',
    client: 'resume with its ticket',
  },
  tokenExpired: {
    code: 4009,
    reason: 'token-expired',
    when: 'the token ran out and no ticket stands for it',
    client: 'ask the registry for a new token, then connect',
  },
  helloTimeout: {
    code: 4010,
    reason: 'hello-timeout',
    when: 'no hello came in time after the socket opened',
    client: 'reconnect with backoff',
  },
  replaced: {
    code: 4500,
    reason: 'replaced',
    when: 'another session of this device is newer',
    client: 'stay away until its user acts',
  },
  tokenInvalid: {
    code: 4501,
    reason: 'token-invalid',
    when: 'the token is forged, malformed or for another cluster',
    client: 'register again',
  },
  revoked: {
    code: 4502,
    reason: 'revoked',
    when: 'the device was closed or its account changed',
    client: 'register again',
  },
  protocol: {
    code: 4503,
    reason: 'protocol',
    when: 'a frame broke the protocol; the text says which rule',
    client: 'fix the client',
  },
  version: {
    code: 4504,
    reason: 'version',
    when: 'the hello names a version this gateway does not speak',
    client: 'update',
  },
  tooLarge: { code: 4505, reason: 'too-large', when: 'a frame passed the size limit', client: 'fix the client' },
} as const satisfies Record<string, Row>;

export type CloseName = keyof typeof CLOSE;

/** Whether a client may reconnect after this WebSocket close code (codes below 4000 are the network's: it may). */
export function mayReconnect(code: number): boolean {
  return code < 4500 || code > 4999;
}

interface ErrorRow {
  readonly status: number;
  readonly when: string;
  readonly remedy: string;
}

/** Errors of frames (`error` frames carry the key as `code`) and of the HTTP APIs (the status goes with it). */
export const ERRORS = {
  'invalid-request': {
    status: 400,
    when: 'a field is missing, unknown, or of the wrong form',
    remedy: 'correct the field that is named',
  },
  unauthenticated: {
    status: 401,
    when: 'no credential, or one that does not verify',
    remedy: 'send a valid credential',
  },
  'token-expired': { status: 401, when: 'the token ran out', remedy: 'renew it at the registry' },
  forbidden: {
    status: 403,
    when: 'the credential is good, the app does not allow this',
    remedy: 'ask for the right in the PushApp',
  },
  'app-unknown': { status: 404, when: 'no such PushApp', remedy: 'create the PushApp, or correct the name' },
  'device-unknown': { status: 404, when: 'the device never registered', remedy: 'register the device first' },
  'message-unknown': { status: 404, when: 'no such message, or its record ran out', remedy: 'check the id' },
  'position-unknown': {
    status: 404,
    when: 'nothing is held at that position: it was settled, expired or trimmed, or is of another epoch',
    remedy: 'go on without its body',
  },
  'group-unknown': { status: 404, when: 'no such group', remedy: 'create the group, or correct the name' },
  'dead-letter-unknown': {
    status: 404,
    when: 'no such dead letter: it was re-driven, dropped or ran out',
    remedy: 'list them again',
  },
  'not-found': { status: 404, when: 'no such path', remedy: 'see the OpenAPI document' },
  'method-not-allowed': { status: 405, when: 'the path does not take this method', remedy: 'see the OpenAPI document' },
  'idempotency-conflict': {
    status: 409,
    when: 'the key was used with another request',
    remedy: 'use a new key for a new message',
  },
  'group-exists': { status: 409, when: 'a group of this name is there', remedy: 'use it, or take another name' },
  'group-full': { status: 409, when: 'the group has as many members as it may', remedy: 'make another group' },
  'not-cancellable': {
    status: 409,
    when: 'every delivery of the message has ended',
    remedy: 'nothing: see what became of it',
  },
  'too-large': { status: 413, when: 'the body passed its limit', remedy: 'send less' },
  'stream-full': {
    status: 409,
    when: 'the device has more unread messages than its stream may hold',
    remedy: 'wait until the device comes back, or let messages expire',
  },
  'rate-limited': { status: 429, when: 'a quota is used up', remedy: 'come back after retryAfterMs' },
  'waiting-full': {
    status: 429,
    when: 'as many messages wait for the devices of the app as its quota allows',
    remedy: 'come back after retryAfterMs, or let messages expire',
  },
  overloaded: { status: 503, when: 'the role sheds load', remedy: 'come back after retryAfterMs' },
  'store-unavailable': {
    status: 503,
    when: 'the store did not answer; the outcome may be unknown',
    remedy: 'send again with the same idempotency key after retryAfterMs',
  },
  'no-gateway': { status: 503, when: 'no gateway takes connections now', remedy: 'come back after retryAfterMs' },
  'upstream-unavailable': {
    status: 503,
    when: 'no bus is configured, or it did not take the message',
    remedy: 'configure spec.bus, or send again',
  },
  'auth-webhook-failed': {
    status: 502,
    when: "the app's auth webhook did not answer or broke its contract",
    remedy: 'see the registry log; try again',
  },
  internal: { status: 500, when: 'a bug of ours', remedy: 'report it with the trace id' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** Characters of a field's name that answers and logs say: it may be one that the caller made up. */
export const FIELD_CHARS_MAX = 100;

/** An expected refusal on its way to whoever asked. `message` says what was expected and what came, with the field before it. */
export class RefusedError extends Error {
  readonly code: ErrorCode;
  readonly field: string | null;
  readonly retryAfterMs: number | null;
  constructor(code: ErrorCode, message: string, more: { field?: string; retryAfterMs?: number; cause?: unknown } = {}) {
    const { field = null } = more;
    const isLong = field !== null && field.length > FIELD_CHARS_MAX;
    const shown = isLong ? `${field.slice(0, FIELD_CHARS_MAX)}…` : field;
    const said = isLong && message.startsWith(field) ? `${shown}${message.slice(field.length)}` : message;
    super(said, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.field = shown;
    this.retryAfterMs = more.retryAfterMs ?? null;
  }
}
