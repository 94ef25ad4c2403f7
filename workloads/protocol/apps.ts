// The apps document: every PushApp of the namespace that names this cluster, as the operator renders it into the apps
// ConfigMap (key `apps.json`) for registry and router. It holds only public material: JWKs and hashes of API keys.
import { InvalidNameError, parseAppId } from './ids.ts';
import type { AppId } from './ids.ts';
import { InvalidDocumentError } from './routing.ts';

export interface ApiKeyHash {
  /** Name of the key, for logs. */
  readonly name: string;
  /** Hex SHA-256 of the key. */
  readonly sha256: string;
}
export interface AppDefinition {
  readonly name: AppId;
  /** Public keys (JWK) that may sign device credentials and business tokens: EdDSA, ES256 or RS256. */
  readonly publicKeys: readonly Readonly<Record<string, unknown>>[];
  readonly apiKeys: readonly ApiKeyHash[];
  /** Asked instead of checking a signature when set. */
  readonly authWebhook?: { readonly url: string; readonly timeoutMs: number };
  /** Names, or prefixes ending in `*`, that devices may subscribe to. */
  readonly allowedTopics: readonly string[];
  readonly quotas: {
    readonly messagesPerSecond?: number;
    readonly devicesPerAccount?: number;
    /** Recipients of lists and groups, a second. */
    readonly recipientsPerSecond?: number;
    /** Bytes of bodies, a second. */
    readonly bytesPerSecond?: number;
    /** Deliveries that may wait, over all devices. */
    readonly waitingMax?: number;
  };
  readonly delivery: {
    readonly ttlMs?: number;
    readonly attemptsMax?: number;
    readonly ackTimeoutMs?: number;
  };
  /** Told of these events by signed HTTP POSTs. */
  readonly webhook?: { readonly url: string; readonly timeoutMs: number; readonly events: readonly WebhookEvent[] };
  /** What clients may send to each other; left out: nothing. */
  readonly clientMessaging?: {
    readonly pointToPoint: boolean;
    readonly groups: boolean;
    /** Of one device. */
    readonly messagesPerSecond: number;
  };
}
/** What an app can be told: a delivery was dead-lettered, a message waits for an offline device, a device came or went. */
export const WEBHOOK_EVENTS = ['dead-letter', 'waiting', 'presence'] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];
export interface AppsDocument {
  readonly version: 1;
  readonly revision: string;
  readonly apps: readonly AppDefinition[];
}
export const APPS_KEY = 'apps.json';

/** Whether a topic is within the patterns (names, or prefixes ending in `*`). Cost: O(patterns). */
export function isTopicAllowed(patterns: readonly string[], topic: string): boolean {
  return patterns.some((p) => (p.endsWith('*') ? topic.startsWith(p.slice(0, -1)) : p === topic));
}

/** JSON text → apps document, refused whole by field. Unknown fields are ignored. Throws InvalidDocumentError. */
export function parseAppsDocument(text: string): AppsDocument {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InvalidDocumentError('apps document: expected JSON', { cause: error });
  }
  const root = rowAt(value, 'apps document');
  if (root['version'] !== 1) throw new InvalidDocumentError(`version: expected 1, got ${String(root['version'])}`);
  const apps = listAt(root['apps'], 'apps').map((item, i) => parseApp(item, `apps[${i}]`));
  const twice = apps.find((app, i) => apps.findIndex((other) => other.name === app.name) !== i);
  if (twice !== undefined) throw new InvalidDocumentError(`apps: expected each name once, got ${twice.name} twice`);
  return { version: 1, revision: textAt(root['revision'], 'revision'), apps };
}

function parseApp(value: unknown, at: string): AppDefinition {
  const row = rowAt(value, at);
  const webhook = row['authWebhook'] === undefined ? null : rowAt(row['authWebhook'], `${at}.authWebhook`);
  const quotas = rowAt(row['quotas'] ?? {}, `${at}.quotas`);
  const delivery = rowAt(row['delivery'] ?? {}, `${at}.delivery`);
  return {
    name: nameAt(row['name'], `${at}.name`),
    publicKeys: listAt(row['publicKeys'] ?? [], `${at}.publicKeys`).map((key, i) =>
      rowAt(key, `${at}.publicKeys[${i}]`),
    ),
    apiKeys: listAt(row['apiKeys'] ?? [], `${at}.apiKeys`).map((key, i) => parseApiKey(key, `${at}.apiKeys[${i}]`)),
    ...(webhook === null
      ? {}
      : {
          authWebhook: {
            url: textAt(webhook['url'], `${at}.authWebhook.url`),
            timeoutMs: countAt(webhook['timeoutMs'], `${at}.authWebhook.timeoutMs`),
          },
        }),
    allowedTopics: listAt(row['allowedTopics'] ?? [], `${at}.allowedTopics`).map((topic, i) =>
      textAt(topic, `${at}.allowedTopics[${i}]`),
    ),
    quotas: {
      ...optionalCount(quotas, 'messagesPerSecond', `${at}.quotas`),
      ...optionalCount(quotas, 'devicesPerAccount', `${at}.quotas`),
      ...optionalCount(quotas, 'recipientsPerSecond', `${at}.quotas`),
      ...optionalCount(quotas, 'bytesPerSecond', `${at}.quotas`),
      ...optionalCount(quotas, 'waitingMax', `${at}.quotas`),
    },
    delivery: {
      ...optionalCount(delivery, 'ttlMs', `${at}.delivery`),
      ...optionalCount(delivery, 'attemptsMax', `${at}.delivery`),
      ...optionalCount(delivery, 'ackTimeoutMs', `${at}.delivery`),
    },
    ...parseWebhook(row['webhook'], `${at}.webhook`),
    ...parseClientMessaging(row['clientMessaging'], `${at}.clientMessaging`),
  };
}

function parseWebhook(value: unknown, at: string): Pick<AppDefinition, 'webhook'> {
  if (value === undefined || value === null) return {};
  const row = rowAt(value, at);
  const events = listAt(row['events'] ?? WEBHOOK_EVENTS, `${at}.events`).map((event, i) => {
    const known = WEBHOOK_EVENTS.find((name) => name === event);
    if (known !== undefined) return known;
    throw new InvalidDocumentError(`${at}.events[${i}]: expected ${WEBHOOK_EVENTS.join(', ')}`);
  });
  return {
    webhook: { url: textAt(row['url'], `${at}.url`), timeoutMs: countAt(row['timeoutMs'], `${at}.timeoutMs`), events },
  };
}

function parseClientMessaging(value: unknown, at: string): Pick<AppDefinition, 'clientMessaging'> {
  if (value === undefined || value === null) return {};
  const row = rowAt(value, at);
  return {
    clientMessaging: {
      pointToPoint: row['pointToPoint'] === true,
      groups: row['groups'] === true,
      messagesPerSecond: countAt(row['messagesPerSecond'], `${at}.messagesPerSecond`),
    },
  };
}

function parseApiKey(value: unknown, at: string): ApiKeyHash {
  const row = rowAt(value, at);
  const sha256 = textAt(row['sha256'], `${at}.sha256`);
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new InvalidDocumentError(`${at}.sha256: expected 64 lower-case hex digits`);
  return { name: textAt(row['name'], `${at}.name`), sha256 };
}

function nameAt(value: unknown, at: string): AppId {
  try {
    return parseAppId(value, at);
  } catch (error) {
    if (error instanceof InvalidNameError) throw new InvalidDocumentError(error.message, { cause: error });
    throw error;
  }
}
function rowAt(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new InvalidDocumentError(`${at}: expected an object`);
}
function listAt(value: unknown, at: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new InvalidDocumentError(`${at}: expected a list`);
}
function textAt(value: unknown, at: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new InvalidDocumentError(`${at}: expected a text`);
}
function countAt(value: unknown, at: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidDocumentError(`${at}: expected a number of at least 0`);
}
function optionalCount<K extends string>(
  row: Record<string, unknown>,
  name: K,
  at: string,
): { readonly [P in K]?: number } {
  const value = row[name];
  if (value === undefined || value === null) return {};
  return { [name]: countAt(value, `${at}.${name}`) } as { readonly [P in K]?: number };
}
