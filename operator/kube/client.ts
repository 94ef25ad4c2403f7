// The kube port over HTTPS to a real API server. @kubernetes/client-node finds and refreshes the credentials (in-cluster, kubeconfig,
// exec plug-ins); the requests are made here as plain JSON, since its typed calls drop fields they do not know and turn lists into
// classes. main.ts opens one for the controller and one for the Lease.
import { KubeConfig } from '@kubernetes/client-node';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { isRow } from './fields.ts';
import { addressOf, FIELD_MANAGER, KubeError, kindOf } from './port.ts';
import type { Address, Kind, Kube, KubeObject, ObjectList, Selection } from './port.ts';
import { openWatch } from './watch-stream.ts';

const JSON_TYPE = 'application/json';
const MERGE_TYPE = 'application/merge-patch+json';
const APPLY_TYPE = 'application/apply-patch+yaml'; // JSON is YAML
/** Lists come in pages of this size. */
const PAGE = 500;
/** An answer of the API server larger than this is refused: etcd's objects are at most 1.5 MiB, a page of ours far less. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

export interface KubeClientOptions {
  /** From loadKubeConfig. */
  readonly config: KubeConfig;
  /** A request that takes longer has failed, outcome unknown. */
  readonly timeoutMs: number;
}

/** KUBECONFIG or in-cluster credentials, as kubectl has them. */
export function loadKubeConfig(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}

export function openKubeClient(options: KubeClientOptions): Kube {
  const api = new Api(options);
  const patch = async (object: KubeObject, type: string, path: string): Promise<KubeObject> =>
    toObject(await api.call('PATCH', path, { type, body: object }));
  const applyQuery = `?fieldManager=${FIELD_MANAGER}&force=true`;
  return {
    async get(kind, at) {
      try {
        return withKind(toObject(await api.call('GET', pathOf(kind, at))), kind);
      } catch (error) {
        if (error instanceof KubeError && error.status === 404 && error.reason === 'NotFound') return null;
        throw error;
      }
    },
    list: (kind, selection) => listPages(api, kind, selection),
    watch: (kind, selection, onEvent) =>
      openWatch({
        open: (signal) => api.stream(watchPath(kind, selection), signal),
        toObject: (value) => withKind(toObject(value), kind),
        onEvent,
      }),
    create: async (object) =>
      toObject(await api.call('POST', `${collectionPath(kindOf(object), object)}${managerQuery}`, { body: object })),
    replace: async (object) =>
      toObject(await api.call('PUT', `${pathOf(kindOf(object), addressOf(object))}${managerQuery}`, { body: object })),
    apply: (object) => patch(object, APPLY_TYPE, `${pathOf(kindOf(object), addressOf(object))}${applyQuery}`),
    applyStatus: (object) =>
      patch(object, APPLY_TYPE, `${pathOf(kindOf(object), addressOf(object))}/status${applyQuery}`),
    merge: async (kind, at, body) =>
      toObject(await api.call('PATCH', `${pathOf(kind, at)}${managerQuery}`, { type: MERGE_TYPE, body })),
    async scale(kind, at, replicas) {
      await api.call('PATCH', `${pathOf(kind, at)}/scale${managerQuery}`, {
        type: MERGE_TYPE,
        body: { spec: { replicas } },
      });
    },
    async delete(kind, at, { uid, graceSeconds } = {}) {
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Background',
        ...(uid === undefined ? {} : { preconditions: { uid } }),
        ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }),
      };
      try {
        await api.call('DELETE', pathOf(kind, at), { body });
        return 'deleted';
      } catch (error) {
        if (error instanceof KubeError && error.status === 404) return 'gone';
        throw error;
      }
    },
  };
}

const managerQuery = `?fieldManager=${FIELD_MANAGER}`;

/** Requests with credentials over kept connections. */
class Api {
  readonly #config: KubeConfig;
  readonly #timeoutMs: number;
  readonly #server: URL;
  readonly #agent: HttpAgent;

  constructor({ config, timeoutMs }: KubeClientOptions) {
    const server = config.getCurrentCluster()?.server;
    if (server === undefined || server === '')
      throw new KubeError(0, 'NoCluster', 'kubeconfig: expected a current context with a cluster, got none');
    this.#config = config;
    this.#timeoutMs = timeoutMs;
    this.#server = new URL(server);
    const pool = { keepAlive: true, maxSockets: 64 };
    this.#agent = this.#server.protocol === 'http:' ? new HttpAgent(pool) : new HttpsAgent(pool);
  }

  async call(method: string, path: string, sent: { type?: string; body?: unknown } = {}): Promise<unknown> {
    const text = sent.body === undefined ? undefined : JSON.stringify(sent.body);
    const headers = text === undefined ? {} : { 'content-type': sent.type ?? JSON_TYPE };
    const signal = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await this.#send({ method, path, headers, signal }, text);
      const answer = await readAll(response);
      return parseAnswer(response.statusCode ?? 0, answer);
    } catch (error) {
      if (error instanceof KubeError) throw error;
      const why = signal.aborted ? `no answer within ${this.#timeoutMs} ms` : messageOf(error);
      throw new KubeError(0, 'NoAnswer', `${method} ${path.split('?')[0]}: ${why}`, { cause: error });
    }
  }

  /** A GET whose body is read as it comes. */
  async stream(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#send({ method: 'GET', path, headers: {}, signal }, undefined);
    if (response.statusCode === 200) return response;
    parseAnswer(response.statusCode ?? 0, await readAll(response));
    throw new KubeError(response.statusCode ?? 0, 'Unexpected', `watch: expected 200, got ${response.statusCode}`);
  }

  async #send(
    what: { method: string; path: string; headers: Record<string, string>; signal: AbortSignal },
    text: string | undefined,
  ): Promise<IncomingMessage> {
    const credentials: RequestOptions = { headers: {} };
    await this.#config.applyToHTTPSOptions(credentials);
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername, auth } = credentials;
    const tls = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername, auth };
    const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined && value !== null));
    const length = text === undefined ? {} : { 'content-length': Buffer.byteLength(text) };
    const send = this.#server.protocol === 'http:' ? httpRequest : httpsRequest;
    const base = this.#server.pathname.replace(/\/$/, '');
    return new Promise((resolve, reject) => {
      const request = send(
        {
          ...given,
          method: what.method,
          protocol: this.#server.protocol,
          hostname: this.#server.hostname.replace(/^\[|\]$/g, ''),
          port: this.#server.port,
          path: `${base}${what.path}`,
          headers: { accept: JSON_TYPE, ...asHeaders(credentials.headers), ...what.headers, ...length },
          agent: this.#agent,
          signal: what.signal,
        },
        resolve,
      );
      request.on('error', reject);
      request.end(text);
    });
  }
}

function asHeaders(headers: RequestOptions['headers']): Record<string, string> {
  const rows = isRow(headers) ? Object.entries(headers) : [];
  return Object.fromEntries(rows.filter((row): row is [string, string] => typeof row[1] === 'string'));
}

async function listPages(api: Api, kind: Kind, selection: Selection): Promise<ObjectList> {
  const items: KubeObject[] = [];
  let token = '';
  let resourceVersion = '0';
  do {
    const query = new URLSearchParams({ limit: String(PAGE), ...selectors(selection) });
    if (token !== '') query.set('continue', token);
    const page = await api.call('GET', `${collectionPath(kind, { metadata: selection })}?${query.toString()}`);
    const rows = isRow(page) && Array.isArray(page['items']) ? page['items'] : [];
    const metadata = isRow(page) && isRow(page['metadata']) ? page['metadata'] : {};
    items.push(...rows.map((row: unknown) => withKind(toObject(row), kind)));
    token = typeof metadata['continue'] === 'string' ? metadata['continue'] : '';
    resourceVersion = typeof metadata['resourceVersion'] === 'string' ? metadata['resourceVersion'] : resourceVersion;
  } while (token !== '');
  return { items, resourceVersion };
}

function watchPath(kind: Kind, selection: Selection & { readonly resourceVersion: string }): string {
  const query = new URLSearchParams({
    watch: '1',
    allowWatchBookmarks: 'true',
    resourceVersion: selection.resourceVersion,
    ...selectors(selection),
  });
  return `${collectionPath(kind, { metadata: selection })}?${query.toString()}`;
}

function selectors({ labels, fields }: Selection): Record<string, string> {
  const join = (rows: Readonly<Record<string, string>>): string =>
    Object.entries(rows)
      .map(([name, value]) => `${name}=${value}`)
      .join(',');
  return {
    ...(labels === undefined ? {} : { labelSelector: join(labels) }),
    ...(fields === undefined ? {} : { fieldSelector: join(fields) }),
  };
}

function collectionPath(kind: Kind, at: { readonly metadata: { readonly namespace?: string } }): string {
  const root = kind.apiVersion.includes('/') ? `/apis/${kind.apiVersion}` : `/api/${kind.apiVersion}`;
  const { namespace } = at.metadata;
  const within = kind.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${within}/${kind.plural}`;
}

function pathOf(kind: Kind, at: Address): string {
  return `${collectionPath(kind, { metadata: at })}/${encodeURIComponent(at.name)}`;
}

/** Objects in a list carry neither apiVersion nor kind. */
function withKind(object: KubeObject, kind: Kind): KubeObject {
  return { ...object, apiVersion: kind.apiVersion, kind: kind.kind };
}

function toObject(value: unknown): KubeObject {
  if (isRow(value) && isRow(value['metadata'])) return value as unknown as KubeObject;
  throw new KubeError(0, 'Unexpected', 'expected an object with metadata from the API server');
}

async function readAll(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > ANSWER_BYTES_MAX)
      throw new KubeError(0, 'TooLarge', `expected an answer of at most ${ANSWER_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parseAnswer(status: number, text: string): unknown {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = {};
  }
  if (status >= 200 && status < 300) return body;
  const fields = isRow(body) ? body : {};
  const reason = typeof fields['reason'] === 'string' ? fields['reason'] : 'Unknown';
  const message = typeof fields['message'] === 'string' ? fields['message'] : text.slice(0, 200);
  throw new KubeError(status, status === 404 && fields['reason'] === undefined ? 'NotServed' : reason, message);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
