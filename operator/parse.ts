// PushCluster, from what the API server holds to what the operator works with: defaults filled in, durations in ms, and rules
// across fields. The CRD's schema checks most of this at the door; this is for what got past it (an older CRD, the embedded
// process), so every default and bound here is the schema's. reconcile.ts calls it; a refused resource touches nothing.
import { STRATEGIES } from '../workloads/protocol/routing.ts';
import { FieldReader } from './field-reader.ts';
import type { KubeObject } from './kube/port.ts';
import type { Cluster, ClusterStatus } from './types.ts';
import type {
  AutoscalingSpec,
  BusSpec,
  ClusterSpec,
  DeploymentSpec,
  Exposure,
  PodShape,
  StoreSpec,
  UpstreamHandlerSpec,
} from './spec.ts';

export type Parsed<T> =
  | { readonly kind: 'valid'; readonly value: T }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const HOST_PORT = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?:[0-9]{1,5}$/;
const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$/;
const OBJECT_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
/** Leaves room for `-gateway-12345` and the revision hash within the 63 characters of a label. */
const CLUSTER_NAME = /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/;
/** An overlay travels in annotations too (last-applied), which hold 256 KiB together. */
const POD_TEMPLATE_CHARS_MAX = 65_536;

/**
 * PushCluster → Cluster, or every reason why not. One that is being deleted is never refused: what is wrong in it takes its
 * default, so that its gateways are drained and its finalizer goes. Pure.
 */
export function parseCluster(object: KubeObject): Parsed<Cluster> {
  const problems: string[] = [];
  const { metadata } = object;
  if (!CLUSTER_NAME.test(metadata.name))
    problems.push(
      `metadata.name: expected at most 40 of a–z, 0–9 and -, starting with a letter, got ${JSON.stringify(metadata.name)}; its children's names are made of it`,
    );
  const spec = parseSpec(new FieldReader(object['spec'] ?? {}, 'spec', problems));
  const deleted = metadata.deletionTimestamp;
  if (problems.length > 0 && deleted === undefined) return { kind: 'refused', problems };
  return {
    kind: 'valid',
    value: {
      name: metadata.name,
      namespace: metadata.namespace ?? 'default',
      uid: metadata.uid ?? '',
      generation: metadata.generation ?? 1,
      deletedAtMs: deleted === undefined ? null : Date.parse(deleted),
      finalizers: metadata.finalizers ?? [],
      spec,
      status: (object['status'] as ClusterStatus | undefined) ?? null,
    },
  };
}

function parseSpec(spec: FieldReader): ClusterSpec {
  const image = spec.text('image', { form: /^\S{1,512}$/, expected: 'a container image' });
  if (image === null && !spec.has('image')) spec.refuse('image', 'is required; set it to the image of this release');
  const delivery = spec.object('delivery');
  const auth = spec.object('auth');
  const disruption = spec.object('disruption');
  const evaluation = spec.object('evaluationRedis');
  return {
    image: image ?? '',
    imagePullPolicy: spec.choice('imagePullPolicy', ['Always', 'IfNotPresent', 'Never'], 'IfNotPresent'),
    imagePullSecrets: spec.texts('imagePullSecrets', { itemsMax: 8, form: OBJECT_NAME, expected: "a Secret's name" }),
    gateway: parseGateway(spec.object('gateway')),
    registry: parseDeployment(spec.object('registry')),
    router: parseRouter(spec.object('router')),
    drainer: parseDrainer(spec.object('drainer')),
    upstream: parseUpstream(spec.object('upstream')),
    routing: parseRouting(spec.object('routing')),
    store: spec.has('store') ? parseStore(spec.object('store').object('redis')) : null,
    bus: spec.has('bus') ? parseBus(spec.object('bus').object('kafka')) : null,
    webhooks: { allowPrivateAddresses: spec.object('webhooks').flag('allowPrivateAddresses', false) },
    evaluationRedis: {
      image: evaluation.text('image', { form: /^\S{1,512}$/, expected: 'a container image' }) ?? 'redis:7',
      resources: evaluation.freeForm('resources'),
    },
    delivery: {
      ackTimeoutMs: delivery.durationMs('ackTimeout', { fallback: '10s', min: '100ms', max: '10m' }),
      windowMessages: delivery.integer('windowMessages', { fallback: 256, min: 1, max: 10_000 }),
      backlogThreshold: delivery.integer('backlogThreshold', { fallback: 50, min: 1, max: 1000 }),
    },
    auth: {
      tokenTtlMs: auth.durationMs('tokenTtl', { fallback: '1h', min: '1s', max: '720h' }),
      ticketTtlMs: auth.durationMs('ticketTtl', { fallback: '15m', min: '1s', max: '24h' }),
      keyRotationMs: auth.durationMs('keyRotation', { fallback: '720h', min: '1h', max: '8760h' }),
      failOpen: auth.flag('failOpen', true),
    },
    disruption: {
      reconnectsPerSecond: disruption.integer('reconnectsPerSecond', { fallback: 500, min: 1, max: 100_000 }),
      drainDeadlineMs: disruption.durationMs('drainDeadline', { fallback: '10m', min: '1s', max: '24h' }),
      maxUnavailable: disruption.integer('maxUnavailable', { fallback: 1, min: 1, max: 100 }),
    },
    autoscaling: spec.has('autoscaling') ? parseAutoscaling(spec.object('autoscaling')) : null,
    observability: parseObservability(spec.object('observability')),
  };
}

function parseShape(reader: FieldReader): PodShape {
  const podTemplate = reader.freeForm('podTemplate');
  const chars = JSON.stringify(podTemplate).length;
  if (chars > POD_TEMPLATE_CHARS_MAX)
    reader.refuse('podTemplate', `expected at most ${POD_TEMPLATE_CHARS_MAX} characters as JSON, got ${chars}`);
  return { resources: reader.freeForm('resources'), scheduling: reader.freeForm('scheduling'), podTemplate };
}

function parseGateway(reader: FieldReader): ClusterSpec['gateway'] {
  const exposure = parseExposure(reader.object('exposure'));
  if (exposure.addressTemplate !== null && !/\{(name|ordinal|nodePort|clusterIP)\}/.test(exposure.addressTemplate))
    reader.refuse(
      'exposure.addressTemplate',
      'gives every gateway the same address; use {name}, {ordinal}, {nodePort} or {clusterIP} in it',
    );
  const transports = reader.texts('transports', { itemsMax: 8, form: /^websocket$/, expected: 'websocket' });
  return {
    ...parseShape(reader),
    replicas: reader.integer('replicas', { fallback: 2, min: 0, max: 1000 }),
    connectionsPerGateway: reader.integer('connectionsPerGateway', { fallback: 18_000, min: 1, max: 1_000_000 }),
    transports: transports.length === 0 ? ['websocket'] : ['websocket'],
    exposure,
    heartbeatIntervalMs: reader.durationMs('heartbeatInterval', { fallback: '25s', min: '200ms', max: '1h' }),
    bandwidthBytesPerSecond: parseBandwidth(reader),
  };
}

function parseDeployment(reader: FieldReader): DeploymentSpec {
  return {
    ...parseShape(reader),
    replicas: reader.integer('replicas', { fallback: 2, min: 0, max: 100 }),
    exposure: parseExposure(reader.object('exposure')),
  };
}

function parseRouter(reader: FieldReader): ClusterSpec['router'] {
  return { ...parseDeployment(reader), bandwidthBytesPerSecond: parseBandwidth(reader) };
}

/** 0: no bound. */
function parseBandwidth(reader: FieldReader): number {
  return reader.integer('bandwidthBytesPerSecond', { fallback: 0, min: 0, max: 1_099_511_627_776 });
}

function parseDrainer(reader: FieldReader): ClusterSpec['drainer'] {
  return {
    ...parseShape(reader),
    replicas: reader.integer('replicas', { fallback: 1, min: 0, max: 16 }),
    entriesPerSecond: reader.integer('entriesPerSecond', { fallback: 20_000, min: 100, max: 1_000_000 }),
    bytesPerSecond: reader.integer('bytesPerSecond', { fallback: 33_554_432, min: 65_536, max: 10_737_418_240 }),
  };
}

const KIND_PATTERN = /^([A-Za-z0-9._:-]{1,64}|[A-Za-z0-9._:-]{0,63}\*)$/;
const HANDLER_TYPES = ['database', 'webhook', 'echo', 'group-chat'] as const;

function parseUpstream(reader: FieldReader): ClusterSpec['upstream'] {
  const database = reader.object('database');
  return {
    ...parseShape(reader),
    replicas: reader.integer('replicas', { fallback: 1, min: 0, max: 64 }),
    handlers: reader.list('handlers', 32, (item, path) => parseHandler(new FieldReader(item, path, reader.problems))),
    databaseRef: parseSecretKey(database, 'secretRef', 'url'),
    attempts: reader.integer('attempts', { fallback: 5, min: 1, max: 1000 }),
    timeoutMs: reader.durationMs('timeout', { fallback: '5s', min: '50ms', max: '5m' }),
    holdMs: reader.durationMs('hold', { fallback: '10m', min: '0s', max: '24h' }),
  };
}

function parseHandler(reader: FieldReader): UpstreamHandlerSpec | null {
  const kinds = reader.texts('kinds', {
    itemsMax: 32,
    form: KIND_PATTERN,
    expected: 'a kind of message or a prefix ending in *',
  });
  if (kinds.length === 0) reader.refuse('kinds', 'expected at least one kind; * takes all');
  const type = reader.choice('type', HANDLER_TYPES, 'database');
  if (!reader.has('type')) reader.refuse('type', `is required: one of ${HANDLER_TYPES.join(', ')}`);
  const url = reader.text('url', { form: /^https?:\/\/\S{1,500}$/, expected: 'an http or https URL' });
  if (type === 'webhook' && url === null) reader.refuse('url', 'is required with type webhook');
  return { kinds, type, url };
}

function parseBus(kafka: FieldReader): BusSpec {
  const brokers = kafka.texts('brokers', { itemsMax: 64, form: HOST_PORT, expected: 'host:port' });
  if (brokers.length === 0) kafka.refuse('brokers', 'expected at least one host:port');
  const username = kafka.text('username', { form: /^\S{1,128}$/, expected: 'a user name' });
  const secretRef = parseSecretKey(kafka, 'secretRef', 'password');
  if ((username === null) !== (secretRef === null))
    kafka.refuse('username', 'expected username and secretRef together, or neither');
  return {
    brokers,
    tls: kafka.flag('tls', false),
    username,
    secretRef,
    partitions: kafka.integer('partitions', { fallback: 12, min: 1, max: 1000 }),
    replicationFactor: kafka.integer('replicationFactor', { fallback: 3, min: 0, max: 9 }),
  };
}

/** Secret and key; null when the reference is left out. */
function parseSecretKey(
  reader: FieldReader,
  field: string,
  keyFallback: string,
): { readonly name: string; readonly key: string } | null {
  const secret = reader.object(field);
  const name = secret.text('name', { form: OBJECT_NAME, expected: "a Secret's name" });
  const key = secret.text('key', { form: /^[A-Za-z0-9._-]{1,253}$/, expected: "a Secret's key" }) ?? keyFallback;
  if (reader.has(field) && name === null) secret.refuse('name', 'is required');
  return name === null ? null : { name, key };
}

function parseExposure(reader: FieldReader): Exposure {
  return {
    type: reader.choice('type', ['ClusterIP', 'NodePort'], 'ClusterIP'),
    addressTemplate: reader.text('addressTemplate', {
      form: /^(ws|wss|http|https):\/\/\S{1,250}$/,
      expected: 'a URL like wss://{name}.push.example.com/',
    }),
  };
}

function parseRouting(reader: FieldReader): ClusterSpec['routing'] {
  const strategy = reader.choice('strategy', STRATEGIES, 'least-loaded');
  const given = reader.freeForm('weights');
  const weights: Record<string, number> = {};
  const within = new FieldReader(given, `${reader.path}.weights`, reader.problems);
  if (Object.keys(given).length > 1000) reader.refuse('weights', 'expected at most 1000 gateways');
  for (const name of Object.keys(given)) weights[name] = within.integer(name, { fallback: 100, min: 0, max: 1000 });
  return { strategy, weights, auto: reader.object('auto').flag('enabled', strategy === 'least-loaded') };
}

function parseStore(redis: FieldReader): StoreSpec {
  const mode = redis.choice('mode', ['single', 'sentinel', 'cluster'], 'single');
  const addresses = redis.texts('addresses', { itemsMax: 64, form: HOST_PORT, expected: 'host:port' });
  const masterName = redis.text('masterName', {
    form: /^[A-Za-z0-9._-]{1,128}$/,
    expected: "a Sentinel master's name",
  });
  if (addresses.length === 0) redis.refuse('addresses', 'expected at least one host:port');
  if (mode === 'single' && addresses.length > 1)
    redis.refuse('addresses', 'expected one address with mode single; for several set mode to sentinel or cluster');
  if (mode === 'sentinel' && masterName === null) redis.refuse('masterName', 'is required with mode sentinel');
  const username = redis.text('username', { form: /^\S{1,128}$/, expected: 'a user name' });
  const secretRef = parseSecretKey(redis, 'secretRef', 'password');
  if (username !== null && secretRef === null) redis.refuse('secretRef', 'is required with username');
  return { mode, addresses, masterName, username, secretRef, ...parseStoreTls(redis) };
}

const STORE_TLS_FIELDS = ['caSecretRef', 'clientSecretRef', 'serverName'] as const;

function parseStoreTls(redis: FieldReader): Pick<StoreSpec, 'tls' | (typeof STORE_TLS_FIELDS)[number]> {
  const tls = redis.flag('tls', false);
  for (const field of STORE_TLS_FIELDS)
    if (!tls && redis.has(field)) redis.refuse(field, 'expected tls: true beside it, or neither');
  const client = redis.object('clientSecretRef');
  const name = client.text('name', { form: OBJECT_NAME, expected: "a Secret's name" });
  if (redis.has('clientSecretRef') && name === null) client.refuse('name', 'is required');
  return {
    tls,
    caSecretRef: parseSecretKey(redis, 'caSecretRef', 'ca.crt'),
    clientSecretRef: name === null ? null : { name },
    serverName: redis.text('serverName', { form: HOST_NAME, expected: 'a host name' }),
  };
}

function parseAutoscaling(reader: FieldReader): AutoscalingSpec {
  const minReplicas = reader.integer('minReplicas', { fallback: 2, min: 1, max: 1000 });
  const maxReplicas = reader.integer('maxReplicas', { fallback: 10, min: 1, max: 1000 });
  if (minReplicas > maxReplicas)
    reader.refuse('minReplicas', `expected at most maxReplicas (${maxReplicas}), got ${minReplicas}`);
  const out = reader.object('scaleOut');
  const into = reader.object('scaleIn');
  return {
    engine: reader.choice('engine', ['hpa', 'builtin'], 'builtin'),
    minReplicas,
    maxReplicas,
    targetUtilization: reader.integer('targetUtilization', { fallback: 70, min: 1, max: 100 }),
    scaleOutStabilizationMs: out.durationMs('stabilization', { fallback: '0s', min: '0s', max: '1h' }),
    scaleInStabilizationMs: into.durationMs('stabilization', { fallback: '5m', min: '0s', max: '1h' }),
  };
}

function parseObservability(reader: FieldReader): ClusterSpec['observability'] {
  const podMonitor = reader.object('podMonitor');
  const labels: Record<string, string> = {};
  for (const [name, value] of Object.entries(podMonitor.freeForm('labels'))) {
    if (typeof value === 'string') labels[name] = value;
    else podMonitor.refuse(`labels.${name}`, 'expected a text');
  }
  return {
    podMonitor: podMonitor.flag('enabled', true),
    podMonitorLabels: labels,
    prometheusUrl: reader.text('prometheusUrl', {
      form: /^https?:\/\/\S{1,500}$/,
      expected: 'a URL like http://prometheus.monitoring:9090',
    }),
    logLevel: reader.choice('logLevel', ['debug', 'info', 'warn', 'error'], 'info'),
  };
}
