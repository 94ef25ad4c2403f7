// The stage of a bench: a folder with keys and documents, a store, one gateway and, where pushes are needed, one router, each as a process of
// its own from dist/. The registry is not needed: tokens are minted here with the same keys.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { APPS_KEY } from '../../workloads/protocol/apps.ts';
import type { AppsDocument } from '../../workloads/protocol/apps.ts';
import { parseAccountId, parseAppId, parseDeviceId } from '../../workloads/protocol/ids.ts';
import { ROUTING_KEY } from '../../workloads/protocol/routing.ts';
import type { RoutingDocument } from '../../workloads/protocol/routing.ts';
import { aManualClock } from '../../workloads/runtime/clock.ts';
import { generateKeyFiles, openKeys, signToken } from '../../workloads/runtime/credentials.ts';
import { silentLog } from '../../workloads/runtime/log.ts';
import { freePort } from '../../workloads/runtime/free-port.ts';
import { openFolder, removeFolder, startProcess } from './processes.ts';
import type { StartedProcess } from './processes.ts';
import { cpuSeconds } from './usage.ts';

/** An SQLite file belongs to one process: only for benches without a router. */
export type StoreKind = 'sqlite' | 'redis-everysec' | 'redis-always';

export interface StageOptions {
  readonly store: StoreKind;
  /** Devices that get a token, `dev-0` …; one for each connection. */
  readonly devices: number;
  readonly router: boolean;
  /** Whether a drainer runs; default: none. */
  readonly drainer?: boolean;
  /** Whether Redis rewrites its file when that has doubled, which takes a core for some seconds; default: it does. */
  readonly rewrites?: boolean;
  /** Default 1; connections are spread over them. */
  readonly gateways?: number;
  /** Settings of the gateway beside the stage's own. */
  readonly gateway?: Readonly<Record<string, string>>;
}
export type StartedGateway = StartedProcess & { readonly clientPort: number; readonly adminPort: number };
export interface Stage {
  /** The first. */
  readonly gateway: StartedGateway;
  readonly gateways: readonly StartedGateway[];
  /** Null where the stage has none. */
  readonly router: (StartedProcess & { readonly url: string; readonly tcpPort: number }) | null;
  readonly drainer: StartedProcess | null;
  readonly store: StartedProcess | null;
  readonly apiKey: string;
  /** One token a line. */
  readonly tokensFile: string;
  /** What ran with which flags, for the result. */
  readonly settings: Readonly<Record<string, string | number>>;
  stop(): Promise<void>;
}

export const APP = parseAppId('bench');
/** Before the number of one of many topics; load.c knows it. */
export const APP_TOPICS = 'b/';
const CLUSTER = 'bench';
const ROOT = join(import.meta.dirname, '../..');
const TOKEN_TTL_S = 24 * 3600;

/** A part that a bench needs is not there; the message says how to get it. */
export class MissingPartError extends Error {
  readonly code = 'missing-part';
}

export async function startStage(options: StageOptions): Promise<Stage> {
  const folder = openFolder();
  const started: StartedProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const process of started.reverse()) await process.stop();
    removeFolder(folder);
  };
  try {
    const apiKey = randomBytes(16).toString('base64url');
    writeDocuments(folder, apiKey);
    const tokensFile = writeTokens(folder, options.devices);
    const store = await startStore(options, folder, started);
    const base = {
      PUSHCLUSTER_CLUSTER: CLUSTER,
      PUSHCLUSTER_BIND: '127.0.0.1',
      PUSHCLUSTER_LOG_LEVEL: 'info',
      PUSHCLUSTER_STORE: store.url,
      PUSHCLUSTER_KEYS_DIR: join(folder, 'keys'),
      PUSHCLUSTER_ADMIN_PORT: '0',
    };
    const gateways: StartedGateway[] = [];
    for (let i = 0; i < (options.gateways ?? 1); i++)
      gateways.push(await startGateway(base, { ...options, ordinal: i }, started));
    const drainer = options.drainer === true ? await startDrainer(base, started) : null;
    const router = options.router ? await startRouter(base, folder, started) : null;
    const settings = {
      store: options.store,
      connections: options.devices,
      gateways: gateways.length,
      ...options.gateway,
    };
    const parts = { gateway: gateways[0]!, gateways, router, drainer, store: store.process };
    return { ...parts, apiKey, tokensFile, settings, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startGateway(
  base: Readonly<Record<string, string>>,
  options: StageOptions & { readonly ordinal: number },
  started: StartedProcess[],
): Promise<StartedGateway> {
  const env = {
    ...base,
    PUSHCLUSTER_GATEWAY_NAME: `bench-gateway-${options.ordinal}`,
    PUSHCLUSTER_LINK_HOST: '127.0.0.1',
    PUSHCLUSTER_CLIENT_PORT: '0',
    PUSHCLUSTER_LINK_PORT: '0',
    PUSHCLUSTER_CONNECTIONS_MAX: String(options.devices + 1000),
    PUSHCLUSTER_ACCEPTS_PER_SECOND: '100000',
    PUSHCLUSTER_ACCEPT_RAMP_MS: '0',
    ...options.gateway,
  };
  const { process, ports } = await startRole('workloads/gateway/main.js', env, started);
  return { ...process, clientPort: ports['client'] ?? 0, adminPort: ports['admin'] ?? 0 };
}

async function startRouter(
  base: Readonly<Record<string, string>>,
  folder: string,
  started: StartedProcess[],
): Promise<NonNullable<Stage['router']>> {
  const env = {
    ...base,
    PUSHCLUSTER_HTTP_PORT: '0',
    PUSHCLUSTER_TCP_PORT: '0',
    PUSHCLUSTER_CONFIG_SOURCE: 'embedded',
    PUSHCLUSTER_BENCH_DOCUMENTS: join(folder, 'documents'),
  };
  const { process, ports } = await startRole('e2e/bench/router-process.js', env, started);
  return { ...process, url: `http://127.0.0.1:${ports['http'] ?? 0}`, tcpPort: ports['tcp'] ?? 0 };
}

async function startDrainer(
  base: Readonly<Record<string, string>>,
  started: StartedProcess[],
): Promise<StartedProcess> {
  const env = { ...base, PUSHCLUSTER_DRAINER_NAME: 'bench-drainer', PUSHCLUSTER_LINK_HOST: '127.0.0.1' };
  return (await startRole('workloads/drainer/main.js', env, started)).process;
}

async function startRole(
  script: string,
  env: Readonly<Record<string, string>>,
  started: StartedProcess[],
): Promise<{ process: StartedProcess; ports: Readonly<Record<string, number>> }> {
  const path = join(ROOT, 'dist', script);
  if (!existsSync(path)) throw new MissingPartError(`${path} is missing: run \`npm run build\``);
  const isReady = (line: string): boolean => line.includes('"ports":');
  const { process: role, readyLine } = await startProcess(process.execPath, [path], { env, isReady });
  started.push(role);
  const { ports } = JSON.parse(readyLine) as { ports: Readonly<Record<string, number>> };
  return { process: role, ports };
}

async function startStore(
  { store: kind, rewrites = true }: StageOptions,
  folder: string,
  started: StartedProcess[],
): Promise<{ url: string; process: StartedProcess | null }> {
  if (kind === 'sqlite') return { url: `sqlite:${join(folder, 'store.db')}`, process: null };
  const { url, process } = await startRedis(folder, { always: kind === 'redis-always', rewrites });
  started.push(process);
  return { url, process };
}

/** A Redis of the bench's own, with an append-only file in the folder. `always`: synced at each write, otherwise each second. */
export async function startRedis(
  folder: string,
  { always, rewrites }: { readonly always: boolean; readonly rewrites: boolean },
): Promise<{ url: string; process: StartedProcess }> {
  const port = await freePort();
  const appendfsync = always ? 'always' : 'everysec';
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes'];
  args.push('--appendfsync', appendfsync, '--maxmemory-policy', 'noeviction');
  if (!rewrites) args.push('--auto-aof-rewrite-percentage', '0');
  const isReady = (line: string): boolean => line.includes('Ready to accept connections');
  const { process: redis } = await startProcess('redis-server', args, { isReady }).catch((error: unknown) => {
    throw new MissingPartError('redis-server does not start: apt-get install redis-server', { cause: error });
  });
  return { url: `redis://127.0.0.1:${port}`, process: redis };
}

function writeDocuments(folder: string, apiKey: string): void {
  const apps: AppsDocument = {
    version: 1,
    revision: 'bench',
    apps: [
      {
        name: APP,
        publicKeys: [],
        apiKeys: [{ name: 'bench', sha256: createHash('sha256').update(apiKey).digest('hex') }],
        allowedTopics: ['*'],
        quotas: {},
        delivery: {},
      },
    ],
  };
  const routing: RoutingDocument = {
    version: 1,
    revision: 'bench',
    cluster: CLUSTER,
    strategy: 'round-robin',
    gateways: [],
  };
  mkdirSync(join(folder, 'documents'));
  writeFileSync(join(folder, 'documents', APPS_KEY), JSON.stringify(apps));
  writeFileSync(join(folder, 'documents', ROUTING_KEY), JSON.stringify(routing));
  mkdirSync(join(folder, 'keys'));
  for (const [file, text] of Object.entries(generateKeyFiles(new Date().toISOString())))
    writeFileSync(join(folder, 'keys', file), text);
}

/** About 45 µs each. */
function writeTokens(folder: string, count: number): string {
  const keys = openKeys(join(folder, 'keys'), aManualClock(), silentLog).current();
  const iat = Math.floor(Date.now() / 1000);
  const account = parseAccountId('bench');
  let text = '';
  for (let i = 0; i < count; i++) {
    const device = parseDeviceId(deviceOf(i));
    const claims = { iss: CLUSTER, app: APP, device, topics: ['*'], jti: `t${i}`, iat, exp: iat + TOKEN_TTL_S };
    text += `${signToken({ ...claims, account: parseAccountId(`${account}-${i}`) }, keys)}\n`;
  }
  const file = join(folder, 'tokens');
  writeFileSync(file, text);
  return file;
}

/** CPU seconds so far of each part of the stage, and of the load generator. */
export function cpuOf(stage: Stage, load: { readonly pid: number }): Readonly<Record<string, number>> {
  const gateways = stage.gateways.reduce((sum, gateway) => sum + cpuSeconds(gateway.pid), 0);
  return {
    gateways,
    ...(stage.router === null ? {} : { router: cpuSeconds(stage.router.pid) }),
    ...(stage.drainer === null ? {} : { drainer: cpuSeconds(stage.drainer.pid) }),
    ...(stage.store === null ? {} : { redis: cpuSeconds(stage.store.pid) }),
    load: cpuSeconds(load.pid),
  };
}

/** What was used between two readings of cpuOf. */
export function cpuBetween(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, Number((value - (before[name] ?? 0)).toFixed(2))]),
  );
}

/** A counter or gauge of a gateway, the first unless told, summed over its labels; NaN when it has none of that name. */
export async function gatewayMetric(stage: Stage, name: string, ordinal = 0): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${stage.gateways[ordinal]!.adminPort}/metrics`);
  const rows = (await answer.text())
    .split('\n')
    .filter((row) => row.startsWith(`${name} `) || row.startsWith(`${name}{`));
  return rows.length === 0 ? Number.NaN : rows.reduce((sum, row) => sum + Number(row.slice(row.lastIndexOf(' '))), 0);
}

export function deviceOf(index: number): string {
  return `dev-${index}`;
}
