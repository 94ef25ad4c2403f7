// The HTTP server of registry and router: routes, JSON bodies within a bound, refusals as JSON errors, trace ids, graceful close.
// A handler returns an answer or throws RefusedError; whatever else it throws is a bug of ours: logged, answered 500, the process
// lives. http-routes.ts finds the handler, http-body.ts reads what was sent.
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ERRORS, RefusedError } from '../protocol/codes.ts';
import type { ErrorCode } from '../protocol/codes.ts';
import { LIMITS } from '../protocol/limits.ts';
import { parseJsonBody, readBody } from './http-body.ts';
import { RouteTable } from './http-routes.ts';
import type { Log } from './log.ts';
import { traceIdOf } from './trace-id.ts';

export interface HttpRequest {
  readonly method: string;
  /** Path as sent, without the query. */
  readonly path: string;
  /** Values of the route's `{name}` parts, percent-decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Names are in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Of the caller's traceparent or X-Trace-Id, or new; answered as X-Trace-Id and on every line of `log`. */
  readonly traceId: string;
  readonly log: Log;
  /** The body as it came; empty when there was none. */
  readonly bytes: Buffer;
  /** The body parsed as JSON when first asked for, undefined when there was none. Throws RefusedError that says where it is wrong. */
  readonly body: unknown;
}

export interface HttpAnswer {
  readonly status: number;
  /** Sent as JSON; a string together with a content-type header of its own is sent as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
export type HttpHandler = (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

export interface HttpRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** `/v1/devices/{device}`; a parameter matches one part. GET answers HEAD too. */
  readonly path: string;
  /** Default: the server's. Of bodies larger than that one, LIMITS.largeRequestsMax are held at once; more answer 503. */
  readonly bodyBytesMax?: number;
  readonly handler: HttpHandler;
}

export interface HttpServerOptions {
  readonly bind: string;
  /** 0 picks one. */
  readonly port: number;
  readonly routes: readonly HttpRoute[];
  readonly log: Log;
  /** Default LIMITS.requestBytesMax; more answers 413. */
  readonly bodyBytesMax?: number;
  /** Requests under way at once; more answer 503 with retry-after. Default: no bound of its own. */
  readonly requestsInFlightMax?: number;
  readonly headersTimeoutMs?: number;
  readonly requestTimeoutMs?: number;
  /** Headers on every answer, for CORS. When given, OPTIONS answers 204 with them. */
  readonly headers?: Readonly<Record<string, string>>;
  /** After each answer, for metrics. `route` is the pattern; null where none matched. */
  readonly onAnswer?: (route: string | null, status: number, ms: number) => void;
}

export interface HttpServer {
  readonly port: number;
  inFlight(): number;
  /** Takes no more connections, lets requests under way end for at most `graceMs`, then cuts. Half-sent ones have HALF_SENT_MS. */
  close(graceMs: number): Promise<void>;
  /** Cuts every socket at once. */
  kill(): void;
}

/** Headers of browsers that call from another origin; tokens travel in a header, never in cookies, so any origin may. */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, PUT, DELETE',
  'access-control-allow-headers': 'authorization, content-type, idempotency-key, traceparent, x-trace-id',
  'access-control-expose-headers': 'retry-after, x-trace-id',
  'access-control-max-age': '86400',
};

/** A header that trickles in holds a socket for no longer than this. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the 60 s after which load balancers drop an idle connection: they close it first, and no request meets a reset. */
const KEEP_ALIVE_MS = 65_000;
/** Whoever has not sent a whole request when the server closes has this long for the rest: nothing that was taken is lost. */
export const HALF_SENT_MS = 1000;
const BACKLOG = 4096;
const SHED_RETRY_MS = 1000;

interface Serving {
  readonly options: HttpServerOptions;
  readonly table: RouteTable;
  readonly server: Server;
  inFlight: number;
  /** Of them, those with large bodies. */
  large: number;
  closing: boolean;
  /** Every connection, and the request on it that is not answered yet. */
  readonly sockets: Map<Socket, IncomingMessage | null>;
}

/** Resolves once it listens; rejects with the socket's error when the port is taken. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const requestTimeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  const headersTimeout = Math.min(options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS, requestTimeout);
  const connectionsCheckingInterval = Math.min(headersTimeout, 5000);
  const server = createServer({ requestTimeout, headersTimeout, connectionsCheckingInterval });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.maxHeadersCount = 100;
  const serving: Serving = {
    options,
    table: new RouteTable(options.routes),
    server,
    inFlight: 0,
    large: 0,
    closing: false,
    sockets: new Map(),
  };
  server.on('connection', (socket: Socket) => {
    serving.sockets.set(socket, null);
    socket.on('close', () => serving.sockets.delete(socket));
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    serve(serving, request, response).catch((error: unknown) => {
      options.log.error({ problem: String(error) }, 'request could not be answered');
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.bind, BACKLOG, () => {
      server.off('error', reject);
      server.on('error', (error) => options.log.error({ problem: String(error) }, 'http server failed'));
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    inFlight: () => serving.inFlight,
    async close(graceMs) {
      serving.closing = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const cutHalves = setTimeout(() => cutHalfSent(serving), Math.min(graceMs, HALF_SENT_MS));
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(cutHalves);
      clearTimeout(cut);
    },
    kill() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function cutHalfSent({ sockets }: Serving): void {
  for (const [socket, request] of sockets) if (request?.complete !== true) socket.destroy();
}

async function serve(serving: Serving, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { options } = serving;
  const startedMs = performance.now();
  const traceId = traceIdOf(request.headers);
  const at: { route: string | null } = { route: null };
  serving.inFlight++;
  const { socket } = request;
  serving.sockets.set(socket, request);
  response.on('close', () => {
    if (serving.sockets.get(socket) === request) serving.sockets.set(socket, null);
  });
  let answer: HttpAnswer;
  try {
    answer = await handle(serving, request, { traceId, at });
  } catch (error) {
    answer = errorAnswer(error, traceId, options.log);
  } finally {
    serving.inFlight--;
  }
  // What is left of a refused body is not read: the connection ends with the answer.
  if (serving.closing || !request.complete) response.setHeader('connection', 'close');
  send(response, answer, { traceId, headers: options.headers });
  options.onAnswer?.(at.route, answer.status, performance.now() - startedMs);
}

async function handle(
  serving: Serving,
  request: IncomingMessage,
  trace: { traceId: string; at: { route: string | null } },
): Promise<HttpAnswer> {
  const { options } = serving;
  const { method = 'GET', url = '/', headers } = request;
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  if (method === 'OPTIONS' && options.headers !== undefined) return { status: 204 };
  if (serving.inFlight > (options.requestsInFlightMax ?? Infinity))
    throw new RefusedError('overloaded', `expected at most ${options.requestsInFlightMax} requests under way`, {
      retryAfterMs: SHED_RETRY_MS,
    });
  const match = serving.table.find(method, path);
  if (match.kind === 'method-not-allowed')
    return { ...errorAnswer(match.error, trace.traceId, options.log), headers: { allow: match.allow } };
  trace.at.route = match.route.path;
  const { params, route } = match;
  const bytesMax = options.bodyBytesMax ?? LIMITS.requestBytesMax;
  const isLarge = route.bodyBytesMax !== undefined && mayBeLarger(request, bytesMax);
  if (isLarge && serving.large >= LIMITS.largeRequestsMax)
    throw new RefusedError('overloaded', `expected at most ${LIMITS.largeRequestsMax} large requests under way`, {
      retryAfterMs: SHED_RETRY_MS,
    });
  if (isLarge) serving.large++;
  try {
    const bytes = await readBody(request, isLarge ? Math.max(bytesMax, route.bodyBytesMax) : bytesMax);
    const { traceId } = trace;
    return await route.handler(
      new ReceivedRequest({ method, path, params, headers, traceId, bytes, url, parentLog: options.log }),
    );
  } finally {
    if (isLarge) serving.large--;
  }
}

/** By what its headers say; one that does not tell its length may be. */
function mayBeLarger({ headers }: IncomingMessage, bytesMax: number): boolean {
  const declared = headers['content-length'];
  return declared === undefined ? headers['transfer-encoding'] !== undefined : Number(declared) > bytesMax;
}

interface Received {
  readonly method: string;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly headers: IncomingHttpHeaders;
  readonly traceId: string;
  readonly bytes: Buffer;
  readonly url: string;
  readonly parentLog: Log;
}

/** Query, log and JSON are made when they are asked for: most requests need one of the three. */
class ReceivedRequest implements HttpRequest {
  readonly #received: Received;
  #log: Log | null = null;
  #query: URLSearchParams | null = null;
  #body: { readonly value: unknown } | null = null;
  constructor(received: Received) {
    this.#received = received;
  }
  get method(): string {
    return this.#received.method;
  }
  get path(): string {
    return this.#received.path;
  }
  get params(): Readonly<Record<string, string>> {
    return this.#received.params;
  }
  get headers(): IncomingHttpHeaders {
    return this.#received.headers;
  }
  get traceId(): string {
    return this.#received.traceId;
  }
  get bytes(): Buffer {
    return this.#received.bytes;
  }
  get log(): Log {
    return (this.#log ??= this.#received.parentLog.child({ traceId: this.traceId }));
  }
  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.#received.url.slice(this.path.length + 1)));
  }
  get body(): unknown {
    return (this.#body ??= { value: parseJsonBody(this.bytes, this.headers) }).value;
  }
}

/** The JSON object that every refusal is told in, for one request or for one message of a batch. */
export function describeError(error: RefusedError): {
  code: ErrorCode;
  message: string;
  field?: string;
  retryAfterMs?: number;
} {
  const { code, message, field, retryAfterMs } = error;
  return {
    code,
    message,
    ...(field === null ? {} : { field }),
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
  };
}

/** RefusedError → its JSON; anything else is ours, says nothing about itself and is logged. */
export function errorAnswer(error: unknown, traceId: string, log: Log): HttpAnswer {
  if (!(error instanceof RefusedError)) {
    log.error({ err: error, traceId }, 'a request failed by a bug');
    return { status: 500, body: { error: { code: 'internal', message: 'an error of the server', traceId } } };
  }
  const { status } = ERRORS[error.code];
  log.debug({ traceId, code: error.code, field: error.field, status }, 'request refused');
  const body = { error: { ...describeError(error), traceId } };
  if (error.retryAfterMs === null) return { status, body };
  return { status, body, headers: { 'retry-after': String(Math.max(1, Math.ceil(error.retryAfterMs / 1000))) } };
}

function send(
  response: ServerResponse,
  answer: HttpAnswer,
  more: { traceId: string; headers: Readonly<Record<string, string>> | undefined },
): void {
  if (response.destroyed) return;
  const { body } = answer;
  const own = answer.headers?.['content-type'] !== undefined;
  const text = body === undefined ? '' : own && typeof body === 'string' ? body : JSON.stringify(body);
  const headers: Record<string, string | number> = {
    ...(text === '' ? {} : { 'content-type': 'application/json; charset=utf-8' }),
    ...more.headers,
    ...answer.headers,
    'x-trace-id': more.traceId,
  };
  if (answer.status !== 204) headers['content-length'] = Buffer.byteLength(text);
  response.writeHead(answer.status, headers);
  response.end(response.req.method === 'HEAD' ? undefined : text);
}
