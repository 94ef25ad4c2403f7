// Kubelet and workload controllers of the in-memory API server: watches StatefulSets, Deployments, pods and Secrets, and runs each
// pod's role in this process. Level-triggered: every change leads to one look at everything (sync), so no event matters by itself.
// What to create or remove is decided in replicas.ts, what a pod runs in pod-spec.ts.
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KINDS } from '../../operator/kube/port.ts';
import type { Kube, KubeObject, Watch } from '../../operator/kube/port.ts';
import { ANNOTATION_ADMIN_ADDRESS, ANNOTATION_CLIENT_ADDRESS, ANNOTATION_HTTP_ADDRESS } from '../../operator/types.ts';
import type { Log } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import { planPod } from './pod-spec.ts';
import type { PodPlan, PodSpec, RoleName, Secrets } from './pod-spec.ts';
import { planDeployment, planStatefulSet } from './replicas.ts';
import type { PodRow, ReplicaPlan } from './replicas.ts';

export interface KubeletOptions {
  readonly kube: Kube;
  readonly namespace: string;
  /** Folder for the files of volumes. */
  readonly dir: string;
  readonly log: Log;
  readonly startRole: (role: RoleName, env: Readonly<Record<string, string>>) => Promise<RunningRole>;
  /** What differs from a real pod: store, bus, ports. Ports a role had before come back in `ports`. */
  readonly overrides: (role: RoleName, pod: string, ordinal: number) => Readonly<Record<string, string>>;
}

interface Process {
  readonly uid: string;
  readonly role: RunningRole | null;
  /** Ports stay with the pod when its process is started again, as a pod's address does. */
  readonly ports: Readonly<Record<string, number>>;
  state: 'starting' | 'running' | 'stopping';
}

const FINALIZER = 'pushcluster.io/embedded-kubelet';
const REVISION = { StatefulSet: 'controller-revision-hash', Deployment: 'pod-template-hash' } as const;
const PORT_ENV = {
  client: 'PUSHCLUSTER_CLIENT_PORT',
  link: 'PUSHCLUSTER_LINK_PORT',
  admin: 'PUSHCLUSTER_ADMIN_PORT',
  http: 'PUSHCLUSTER_HTTP_PORT',
} as const;

interface Workload {
  readonly object: KubeObject;
  readonly kind: 'StatefulSet' | 'Deployment';
  readonly replicas: number;
  readonly template: { readonly metadata?: { labels?: Readonly<Record<string, string>> }; readonly spec: PodSpec };
  readonly revision: string;
  readonly pods: readonly KubeObject[];
}

/** Runs pods until closed. */
export class EmbeddedKubelet {
  readonly #options: KubeletOptions;
  readonly #processes = new Map<string, Process>();
  #watches: Watch[] = [];
  #syncing = false;
  #again = false;
  #closed = false;
  #idle: (() => void) | null = null;

  constructor(options: KubeletOptions) {
    this.#options = options;
  }

  /** Watches and begins to run pods. */
  async open(): Promise<void> {
    const { kube, namespace } = this.#options;
    for (const kind of [KINDS.statefulSet, KINDS.deployment, KINDS.pod, KINDS.secret]) {
      const { resourceVersion } = await kube.list(kind, { namespace });
      this.#watches.push(kube.watch(kind, { namespace, resourceVersion }, () => this.#trigger()));
    }
    this.#trigger();
  }

  /** Names of the pods whose role runs. */
  running(): readonly string[] {
    return [...this.#processes].filter(([, process]) => process.state === 'running').map(([name]) => name);
  }

  /** A crash: the role's sockets and memory go at once; like a real kubelet this one starts it again in the same pod. */
  kill(pod: string): void {
    const process = this.#processes.get(pod);
    if (process?.role == null) throw new Error(`expected a running pod, got ${pod}`);
    process.role.kill();
    this.#processes.set(pod, { ...process, role: null, state: 'stopping' });
    void this.#setReady(pod, false)
      .then(() => this.#forget(pod))
      .catch((error: unknown) => this.#options.log.error({ error, pod }, 'marking a killed pod failed'));
  }

  /** Ends every role the graceful way and stops watching. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches) watch.stop();
    this.#watches = [];
    if (this.#syncing) await new Promise<void>((resolve) => (this.#idle = resolve));
    await Promise.all([...this.#processes.values()].map((process) => process.role?.stop()));
    this.#processes.clear();
  }

  /** A killed process keeps its ports for the next start. */
  #forget(pod: string): void {
    const process = this.#processes.get(pod);
    if (process !== undefined) this.#processes.set(pod, { ...process, state: 'stopping', role: null });
    this.#trigger();
  }

  #trigger(): void {
    if (this.#closed) return;
    if (this.#syncing) {
      this.#again = true;
      return;
    }
    this.#syncing = true;
    setImmediate(() => {
      this.#sync()
        .catch((error: unknown) => this.#options.log.error({ error }, 'embedded kubelet sync failed'))
        .finally(() => {
          this.#syncing = false;
          this.#idle?.();
          if (this.#again && !this.#closed) {
            this.#again = false;
            this.#trigger();
          }
        });
    });
  }

  async #sync(): Promise<void> {
    const { kube, namespace } = this.#options;
    const pods = (await kube.list(KINDS.pod, { namespace })).items;
    const secrets = readSecrets((await kube.list(KINDS.secret, { namespace })).items);
    const sets = (await kube.list(KINDS.statefulSet, { namespace })).items;
    const deployments = (await kube.list(KINDS.deployment, { namespace })).items;
    for (const object of sets) await this.#syncWorkload(readWorkload(object, 'StatefulSet', pods));
    for (const object of deployments) await this.#syncWorkload(readWorkload(object, 'Deployment', pods));
    const owners = new Set([...sets, ...deployments].map((object) => object.metadata.uid));
    for (const pod of (await kube.list(KINDS.pod, { namespace })).items) {
      const isOrphan = !pod.metadata.ownerReferences?.some((owner) => owners.has(owner.uid));
      if (pod.metadata.deletionTimestamp !== undefined) this.#end(pod);
      else if (isOrphan) await kube.delete(KINDS.pod, { name: pod.metadata.name, namespace });
      else this.#run(pod, secrets);
    }
  }

  async #syncWorkload(workload: Workload): Promise<void> {
    const plan = planFor(workload);
    const { kube, namespace } = this.#options;
    for (const { name, ordinal } of plan.create) await kube.create(renderPod(workload, name, ordinal));
    for (const name of plan.remove) await kube.delete(KINDS.pod, { name, namespace });
    const ready = workload.pods.filter(isReady);
    const updated = workload.pods.filter((pod) => revisionOf(pod, workload.kind) === workload.revision);
    const { apiVersion, kind, metadata } = workload.object;
    await kube.applyStatus({
      apiVersion,
      kind,
      metadata: { name: metadata.name, namespace },
      status: {
        observedGeneration: metadata.generation ?? 1,
        replicas: workload.pods.length,
        readyReplicas: ready.length,
        availableReplicas: ready.length,
        updatedReplicas: updated.length,
        ...(workload.kind === 'StatefulSet'
          ? { updateRevision: workload.revision, currentRevision: workload.revision }
          : {}),
      },
    });
  }

  /** Starts a pod's role when it does not run yet; a pod without a role of ours counts as running. */
  #run(pod: KubeObject, secrets: Secrets): void {
    const { name, namespace = 'default', uid = '' } = pod.metadata;
    const known = this.#processes.get(name);
    const plan = planPod(pod['spec'] as PodSpec, { name, namespace, podIP: '127.0.0.1' }, secrets);
    const keysDir = this.#writeFiles(name, plan);
    if (known !== undefined && known.uid === uid && known.state !== 'stopping') return;
    if (known !== undefined && known.uid !== uid && known.role !== null) return;
    const ports = known?.uid === uid ? known.ports : {};
    this.#processes.set(name, { uid, role: null, ports, state: 'starting' });
    this.#start(pod, plan, { keysDir, ports }).catch((error: unknown) => {
      this.#options.log.error({ error, pod: name }, 'role did not start');
      this.#processes.delete(name);
      const retry = setTimeout(() => this.#trigger(), 1000);
      retry.unref();
    });
  }

  async #start(
    pod: KubeObject,
    plan: PodPlan,
    at: { keysDir: string; ports: Readonly<Record<string, number>> },
  ): Promise<void> {
    const { name, uid = '' } = pod.metadata;
    if (plan.role === null) {
      this.#processes.set(name, { uid, role: null, ports: {}, state: 'running' });
      await this.#setReady(name, true);
      return;
    }
    const ordinal = Number(name.slice(name.lastIndexOf('-') + 1));
    const env = {
      ...plan.env,
      PUSHCLUSTER_KEYS_DIR: at.keysDir,
      ...this.#options.overrides(plan.role, name, ordinal),
      ...Object.fromEntries(
        Object.entries(at.ports).map(([port, n]) => [PORT_ENV[port as keyof typeof PORT_ENV], String(n)]),
      ),
    };
    const role = await this.#options.startRole(plan.role, env);
    this.#processes.set(name, { uid, role, ports: role.ports, state: 'running' });
    if (this.#closed) {
      await role.stop();
      return;
    }
    await this.#announce(pod, plan.role, role.ports);
    await this.#setReady(name, true);
  }

  /** The addresses that a cluster would know from pod IPs and Services. */
  async #announce(pod: KubeObject, role: RoleName, ports: Readonly<Record<string, number>>): Promise<void> {
    const { kube, namespace } = this.#options;
    const at = { name: pod.metadata.name, namespace };
    const annotations: Record<string, string> = { [ANNOTATION_ADMIN_ADDRESS]: `http://127.0.0.1:${ports['admin']}` };
    if (role === 'gateway') annotations[ANNOTATION_CLIENT_ADDRESS] = `ws://127.0.0.1:${ports['client']}/`;
    await kube.merge(KINDS.pod, at, { metadata: { annotations } });
    const owner = pod.metadata.ownerReferences?.find((reference) => reference.kind === 'Deployment');
    if (owner === undefined) return;
    const address = { [ANNOTATION_HTTP_ADDRESS]: `http://127.0.0.1:${ports['http']}` };
    await kube.merge(KINDS.deployment, { name: owner.name, namespace }, { metadata: { annotations: address } });
  }

  #end(pod: KubeObject): void {
    const { name } = pod.metadata;
    const process = this.#processes.get(name);
    if (
      process !== undefined &&
      (process.state === 'starting' || (process.state === 'stopping' && process.role !== null))
    )
      return;
    const stop = process?.role?.stop() ?? Promise.resolve();
    if (process !== undefined) process.state = 'stopping';
    stop
      .catch((error: unknown) => this.#options.log.error({ error, pod: name }, 'role did not stop cleanly'))
      .then(() => this.#release(pod))
      .catch((error: unknown) => this.#options.log.error({ error, pod: name }, 'pod was not released'));
  }

  async #release(pod: KubeObject): Promise<void> {
    const { name } = pod.metadata;
    this.#processes.delete(name);
    rmSync(join(this.#options.dir, name), { recursive: true, force: true });
    const { kube, namespace } = this.#options;
    const now = await kube.get(KINDS.pod, { name, namespace });
    if (now?.metadata.uid === pod.metadata.uid)
      await kube.merge(KINDS.pod, { name, namespace }, { metadata: { finalizers: null } });
  }

  async #setReady(name: string, isReady: boolean): Promise<void> {
    const { kube, namespace } = this.#options;
    if ((await kube.get(KINDS.pod, { name, namespace })) === null) return;
    const status = isReady ? 'True' : 'False';
    const lastTransitionTime = new Date().toISOString();
    await kube.applyStatus({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      status: {
        phase: 'Running',
        podIP: '127.0.0.1',
        hostIP: '127.0.0.1',
        conditions: ['Ready', 'ContainersReady'].map((type) => ({ type, status, lastTransitionTime })),
      },
    });
  }

  #writeFiles(pod: string, plan: PodPlan): string {
    const dir = join(this.#options.dir, pod);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const [path, text] of Object.entries(plan.files)) writeFileSync(join(dir, path), text, { mode: 0o600 });
    return dir;
  }
}

function planFor(workload: Workload): ReplicaPlan {
  const rows: PodRow[] = workload.pods.map((pod) => ({
    name: pod.metadata.name,
    revision: revisionOf(pod, workload.kind),
    ready: isReady(pod),
    ending: pod.metadata.deletionTimestamp !== undefined,
  }));
  const set = { name: workload.object.metadata.name, replicas: workload.replicas };
  if (workload.kind === 'StatefulSet') return planStatefulSet(set, rows);
  const ordinals = rows.map((row) => Number(row.name.slice(row.name.lastIndexOf('-') + 1)));
  return planDeployment({ ...set, revision: workload.revision, nextOrdinal: Math.max(-1, ...ordinals) + 1 }, rows);
}

function readWorkload(object: KubeObject, kind: Workload['kind'], pods: readonly KubeObject[]): Workload {
  const spec = object['spec'] as { replicas?: number; template: Workload['template'] };
  const isMine = (pod: KubeObject): boolean =>
    pod.metadata.ownerReferences?.some((owner) => owner.uid === object.metadata.uid) ?? false;
  return {
    object,
    kind,
    replicas: object.metadata.deletionTimestamp === undefined ? (spec.replicas ?? 1) : 0,
    template: spec.template,
    revision: revisionHash(spec.template),
    pods: pods.filter(isMine),
  };
}

function renderPod(workload: Workload, name: string, ordinal: number): KubeObject {
  const { apiVersion, kind, metadata } = workload.object;
  const stable =
    workload.kind === 'StatefulSet'
      ? { 'statefulset.kubernetes.io/pod-name': name, 'apps.kubernetes.io/pod-index': String(ordinal) }
      : {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels: { ...workload.template.metadata?.labels, [REVISION[workload.kind]]: workload.revision, ...stable },
      ownerReferences: [{ apiVersion, kind, name: metadata.name, uid: metadata.uid ?? '', controller: true }],
      finalizers: [FINALIZER],
    },
    spec: { ...workload.template.spec, nodeName: 'embedded' },
  };
}

/** Same template, same hash, whatever the order of its fields. */
function revisionHash(template: unknown): string {
  const sorted = JSON.stringify(template, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(sorted).digest('hex').slice(0, 10);
}

function revisionOf(pod: KubeObject, kind: Workload['kind']): string {
  return pod.metadata.labels?.[REVISION[kind]] ?? '';
}

function isReady(pod: KubeObject): boolean {
  const status = pod['status'] as { conditions?: readonly { type: string; status: string }[] } | undefined;
  return status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false;
}

function readSecrets(objects: readonly KubeObject[]): Secrets {
  const decode = (text: string): string => Buffer.from(text, 'base64').toString('utf8');
  return new Map(
    objects.map((object) => {
      const data = Object.entries((object['data'] ?? {}) as Readonly<Record<string, string>>);
      const plain = (object['stringData'] ?? {}) as Readonly<Record<string, string>>;
      return [
        object.metadata.name,
        { ...Object.fromEntries(data.map(([key, value]) => [key, decode(value)])), ...plain },
      ];
    }),
  );
}
