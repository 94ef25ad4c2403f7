// PushApp, from what the API server holds to the apps document's form. plan.ts leaves out an app that is refused and says so;
// a key with its private part in it is refused, since the document is for everybody's eyes.
import { WEBHOOK_EVENTS } from '../workloads/protocol/apps.ts';
import type { AppDefinition } from '../workloads/protocol/apps.ts';
import { InvalidNameError, parseAppId } from '../workloads/protocol/ids.ts';
import { LIMITS } from '../workloads/protocol/limits.ts';
import { FieldReader } from './field-reader.ts';
import { isRow } from './kube/fields.ts';
import type { KubeObject } from './kube/port.ts';
import type { Parsed } from './parse.ts';

const TOPIC_PATTERN = /^([A-Za-z0-9][A-Za-z0-9._:~@/-]{0,127}|[A-Za-z0-9][A-Za-z0-9._:~@/-]{0,126}\*|\*)$/;
const KEY_TYPES: readonly string[] = ['["OKP","Ed25519"]', '["EC","P-256"]', '["RSA",null]'];
const PRIVATE_PARTS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'] as const;

/** Name of the PushCluster that a PushApp belongs to; null when it names none. */
export function clusterOfApp(object: KubeObject): string | null {
  const spec = object['spec'];
  const ref = isRow(spec) ? spec['clusterRef'] : undefined;
  return isRow(ref) && typeof ref['name'] === 'string' ? ref['name'] : null;
}

/** PushApp → definition, or every reason why not. Pure. */
export function parseApp(object: KubeObject): Parsed<AppDefinition> {
  const problems: string[] = [];
  const spec = new FieldReader(object['spec'] ?? {}, 'spec', problems);
  const quotas = spec.object('quotas');
  const messagesPerSecond = optionalCount(quotas, 'messagesPerSecond', 1_000_000);
  const devicesPerAccount = optionalCount(quotas, 'devicesPerAccount', LIMITS.accountDevicesMax);
  const recipientsPerSecond = optionalCount(quotas, 'recipientsPerSecond', 10_000_000);
  const bytesPerSecond = optionalCount(quotas, 'bytesPerSecond', 1_000_000_000);
  const waitingMax = optionalCount(quotas, 'waitingMax', 1_000_000_000);
  const delivery = spec.object('delivery');
  const attemptsMax = optionalCount(delivery, 'attempts', 100);
  const isAckTimeoutGiven = delivery.has('ackTimeout');
  const ackTimeoutMs = delivery.durationMs('ackTimeout', { fallback: '10s', min: '100ms', max: '10m' });
  const isTtlGiven = delivery.has('ttl');
  const ttlMs = delivery.durationMs('ttl', { fallback: '168h', min: '1s', max: '720h' });
  const app: AppDefinition = {
    name: object.metadata.name as AppDefinition['name'],
    publicKeys: spec.list('publicKeys', 16, (item, path) => parsePublicKey(item, path, problems)),
    apiKeys: spec.list('apiKeys', 64, (item, path) => parseApiKey(item, path, problems)),
    ...(spec.has('authWebhook') ? { authWebhook: parseWebhook(spec.object('authWebhook')) } : {}),
    allowedTopics: spec.texts('allowedTopics', {
      itemsMax: LIMITS.topicPatternsMax,
      form: TOPIC_PATTERN,
      expected: 'a topic name or a prefix ending in *',
    }),
    quotas: {
      ...(messagesPerSecond === null ? {} : { messagesPerSecond }),
      ...(devicesPerAccount === null ? {} : { devicesPerAccount }),
      ...(recipientsPerSecond === null ? {} : { recipientsPerSecond }),
      ...(bytesPerSecond === null ? {} : { bytesPerSecond }),
      ...(waitingMax === null ? {} : { waitingMax }),
    },
    delivery: {
      ...(isTtlGiven ? { ttlMs } : {}),
      ...(attemptsMax === null ? {} : { attemptsMax }),
      ...(isAckTimeoutGiven ? { ackTimeoutMs } : {}),
    },
    ...(spec.has('webhook') ? { webhook: parseEventWebhook(spec.object('webhook')) } : {}),
    ...(spec.has('clientMessaging') ? { clientMessaging: parseClientMessaging(spec.object('clientMessaging')) } : {}),
  };
  assertName(object.metadata.name, problems);
  return problems.length > 0 ? { kind: 'refused', problems } : { kind: 'valid', value: app };
}

function assertName(name: string, problems: string[]): void {
  try {
    parseAppId(name, 'metadata.name');
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    problems.push(error.message);
  }
}

function parsePublicKey(item: unknown, path: string, problems: string[]): Readonly<Record<string, unknown>> | null {
  if (!isRow(item)) {
    problems.push(`${path}: expected a JWK`);
    return null;
  }
  const leaked = PRIVATE_PARTS.filter((part) => part in item);
  const type = JSON.stringify([item['kty'], item['crv'] ?? null]);
  if (leaked.length > 0)
    problems.push(
      `${path}: holds the private part (${leaked.join(', ')}) of a key; make a new pair, give only its public part`,
    );
  else if (!KEY_TYPES.includes(type))
    problems.push(`${path}: expected an Ed25519, P-256 or RSA key, got [kty, crv] ${type}`);
  return item;
}

function parseApiKey(item: unknown, path: string, problems: string[]): AppDefinition['apiKeys'][number] | null {
  const reader = new FieldReader(item, path, problems);
  const name = reader.text('name', { form: /^[A-Za-z0-9._-]{1,63}$/, expected: '1–63 of letters, digits and . _ -' });
  const sha256 = reader.text('sha256', { form: /^[0-9a-f]{64}$/, expected: 'the SHA-256 of the key as 64 hex digits' });
  if (!reader.has('name')) reader.refuse('name', 'is required');
  if (!reader.has('sha256')) reader.refuse('sha256', 'is required; never put the key itself here');
  return name === null || sha256 === null ? null : { name, sha256 };
}

function parseWebhook(reader: FieldReader): { readonly url: string; readonly timeoutMs: number } {
  const url = reader.text('url', { form: /^https?:\/\/\S{1,500}$/, expected: 'an http or https URL' });
  if (!reader.has('url')) reader.refuse('url', 'is required');
  return { url: url ?? '', timeoutMs: reader.durationMs('timeout', { fallback: '2s', min: '100ms', max: '30s' }) };
}

function parseEventWebhook(reader: FieldReader): NonNullable<AppDefinition['webhook']> {
  const url = reader.text('url', { form: /^https?:\/\/\S{1,500}$/, expected: 'an http or https URL' });
  if (!reader.has('url')) reader.refuse('url', 'is required');
  const named = reader.texts('events', {
    itemsMax: WEBHOOK_EVENTS.length,
    form: new RegExp(`^(${WEBHOOK_EVENTS.join('|')})$`),
    expected: `one of ${WEBHOOK_EVENTS.join(', ')}`,
  });
  return {
    url: url ?? '',
    timeoutMs: reader.durationMs('timeout', { fallback: '5s', min: '100ms', max: '30s' }),
    events: reader.has('events') ? WEBHOOK_EVENTS.filter((event) => named.includes(event)) : WEBHOOK_EVENTS,
  };
}

function parseClientMessaging(reader: FieldReader): NonNullable<AppDefinition['clientMessaging']> {
  return {
    pointToPoint: reader.flag('pointToPoint', false),
    groups: reader.flag('groups', false),
    messagesPerSecond: reader.integer('messagesPerSecond', { fallback: 10, min: 1, max: 1000 }),
  };
}

function optionalCount(reader: FieldReader, name: string, max: number): number | null {
  return reader.has(name) ? reader.integer(name, { fallback: 1, min: 1, max }) : null;
}
