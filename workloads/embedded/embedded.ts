// A whole PushCluster in one process: the operator's own controller over an in-memory API server, an embedded kubelet that starts
// roles, SQLite as the store, a bus in memory. Roles still meet only on the wire: HTTP, WebSocket and links over loopback.
// main.ts is its command line; the end-to-end tests of `npm test` open it with small numbers.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startController } from '../../operator/controller.ts';
import type { Controller } from '../../operator/controller.ts';
import { openGatewayAdmin } from '../../operator/gateway-admin.ts';
import { systemKeyMaker } from '../../operator/key-maker.ts';
import { openMemoryKube } from '../../operator/kube/memory.ts';
import type { MemoryKube } from '../../operator/kube/memory.ts';
import { KINDS } from '../../operator/kube/port.ts';
import { openPrometheus } from '../../operator/prometheus.ts';
import { ANNOTATION_ADMIN_ADDRESS } from '../../operator/types.ts';
import type { ClusterStatus } from '../../operator/types.ts';
import { openInProcessBus } from '../bus/in-process.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { openEmbeddedConfig } from './config-source.ts';
import { openDemoAccess, withDemoAccess } from './demo-access.ts';
import type { DemoAccess } from './demo-access.ts';
import { keepSecrets } from './kept-secrets.ts';
import { EmbeddedKubelet } from './kubelet.ts';
import type { Manifest } from './manifest.ts';
import type { RoleName } from './pod-spec.ts';
import { startRole } from './start-role.ts';

export interface EmbeddedOptions {
  readonly manifest: Manifest;
  /** Null: a folder of its own that goes when it stops. */
  readonly dataDir: string | null;
  /** Registry at +2, router at +1, gateways from +10; 0: ports are picked. */
  readonly portBase: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Environment of every role, over what the manifest gives; tests shorten times with it. */
  readonly env?: Readonly<Record<string, string>>;
  /** How soon the operator looks again while something is under way. Default 250 ms. */
  readonly activeMs?: number;
}

export interface Embedded {
  readonly kube: MemoryKube;
  readonly access: DemoAccess;
  /** The file that holds it. */
  readonly accessPath: string;
  readonly name: string;
  /** Names of the PushApps. */
  readonly apps: readonly string[];
  status(): Promise<ClusterStatus | null>;
  /** Where the admin ports of the pods that run are, by the pod's name: health and metrics. They are picked, and stay with their pods. */
  admins(): Promise<readonly { readonly pod: string; readonly address: string }[]>;
  /** What `kubectl scale pushcluster` does. */
  scale(replicas: number): Promise<void>;
  /** Drops a pod's sockets and memory, as kill -9 would. */
  kill(pod: string): void;
  /** Ends the operator and starts another, as after a crash of its pod. */
  restartOperator(): Promise<void>;
  /** Deletes nothing: roles drain, files stay when there is a data folder. */
  stop(): Promise<void>;
}

const NAMESPACE = 'default';

/** Opens everything; resolves once the manifest is applied, not when it is Ready (status() tells). */
export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { manifest, clock } = options;
  const isTemporary = options.dataDir === null;
  const dir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'pushcluster-'));
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const kube = openMemoryKube({ clock });
  const stopKeeping = await keepSecrets(kube, NAMESPACE, join(dir, 'secrets.json'));
  const accessPath = join(dir, 'demo-access.json');
  const access = openDemoAccess(accessPath);
  const kubelet = openKubelet(kube, dir, options);
  // An API key names its app, so one app has the demo's: the first.
  for (const [i, app] of manifest.apps.entries()) await kube.create(withDemoAccess(app, access, { pushes: i === 0 }));
  await kube.create(manifest.cluster);
  await kubelet.open();
  let controller = openController(kube, options);
  const at = { name: manifest.cluster.metadata.name, namespace: NAMESPACE };
  return {
    kube,
    access,
    accessPath,
    name: at.name,
    apps: manifest.apps.map((app) => app.metadata.name),
    status: async () => ((await kube.get(KINDS.pushCluster, at))?.['status'] as ClusterStatus | undefined) ?? null,
    admins: () => adminsOf(kube),
    scale: (replicas) => kube.scale(KINDS.pushCluster, at, replicas),
    kill: (pod) => kubelet.kill(pod),
    restartOperator: async () => {
      await controller.stop();
      controller = openController(kube, options);
    },
    stop: async () => {
      await controller.stop();
      await kubelet.close();
      stopKeeping();
      if (isTemporary) rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function adminsOf(kube: MemoryKube): ReturnType<Embedded['admins']> {
  const { items } = await kube.list(KINDS.pod, { namespace: NAMESPACE });
  return items
    .flatMap(({ metadata }) => {
      const address = metadata.annotations?.[ANNOTATION_ADMIN_ADDRESS];
      return address === undefined ? [] : [{ pod: metadata.name, address }];
    })
    .toSorted((a, b) => (a.pod < b.pod ? -1 : 1));
}

function openController(kube: MemoryKube, options: EmbeddedOptions): Controller {
  return startController({
    kube,
    admin: openGatewayAdmin({ timeoutMs: 2000 }),
    prometheus: openPrometheus({ timeoutMs: 2000 }),
    clock: options.clock,
    log: options.log.child({ part: 'operator' }),
    keyMaker: systemKeyMaker,
    watchNodes: false,
    workersMax: 1,
    resyncMs: 10_000,
    activeMs: options.activeMs ?? 250,
  });
}

function openKubelet(kube: MemoryKube, dir: string, options: EmbeddedOptions): EmbeddedKubelet {
  const { clock, log } = options;
  const bus = openInProcessBus({ clock, log });
  const config = openEmbeddedConfig(kube, NAMESPACE, log);
  return new EmbeddedKubelet({
    kube,
    namespace: NAMESPACE,
    dir: join(dir, 'pods'),
    log,
    startRole: (role, env) =>
      startRole(role, env, {
        clock,
        log: log.child({ part: role }),
        config,
        bus,
        readFile: (path) => readFileSync(path, 'utf8'),
      }),
    overrides: (role, ordinal) => ({
      PUSHCLUSTER_BIND: '127.0.0.1',
      PUSHCLUSTER_LINK_HOST: '127.0.0.1',
      PUSHCLUSTER_STORE: `sqlite:${join(dir, 'store.sqlite')}`,
      PUSHCLUSTER_STORE_PASSWORD: '',
      PUSHCLUSTER_CONFIG_SOURCE: 'embedded',
      PUSHCLUSTER_ADMIN_PORT: '0',
      PUSHCLUSTER_LINK_PORT: '0',
      PUSHCLUSTER_TCP_PORT: '0',
      PUSHCLUSTER_UPSTREAM_BUFFER_DIR: join(dir, 'upstream', String(ordinal)),
      PUSHCLUSTER_UPSTREAM_DATABASE: `sqlite:${join(dir, 'upstream.sqlite')}`,
      // One process holds them all: a limit for one pod says nothing about it.
      PUSHCLUSTER_MEMORY_BYTES_MAX: '',
      PUSHCLUSTER_INTAKE_MEMORY_BYTES_MAX: '',
      PUSHCLUSTER_UPSTREAM_MEMORY_BYTES_MAX: '',
      ...portsOf(role, ordinal, options.portBase),
      ...options.env,
    }),
  });
}

/** Ports a person can remember; replicas of registry and router after the first take any. */
function portsOf(role: RoleName, ordinal: number, base: number): Readonly<Record<string, string>> {
  if (role === 'drainer' || role === 'upstream') return {};
  if (role === 'gateway') return { PUSHCLUSTER_CLIENT_PORT: base === 0 ? '0' : String(base + 10 + ordinal) };
  const fixed = role === 'router' ? base + 1 : base + 2;
  return { PUSHCLUSTER_HTTP_PORT: base === 0 || ordinal > 0 ? '0' : String(fixed) };
}

/** Whether the status says that clients can connect and pushes are taken. */
export function isReady(status: ClusterStatus | null): boolean {
  return status?.conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false;
}
