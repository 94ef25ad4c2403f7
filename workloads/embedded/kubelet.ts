// Kubelet and workload controllers of the in-memory API server: watches StatefulSets, Deployments, pods and Secrets, and runs each
// pod's role in this process. Level-triggered: every change leads to one look at everything (sync), so no event matters by itself.
// What to create or remove is decided in replicas.ts, what a pod runs in pod-spec.ts.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KINDS } from '../../operator/kube/port.ts';
import type { MemoryKube } from '../../operator/kube/memory.ts';
import type { KubeObject, Watch } from '../../operator/kube/port.ts';
import { ANNOTATION_ADMIN_ADDRESS, ANNOTATION_CLIENT_ADDRESS, ANNOTATION_HTTP_ADDRESS } from '../../operator/types.ts';
import type { Log } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import { planPod } from './pod-spec.ts';
import type { PodPlan, PodSpec, RoleName, Secrets } from './pod-spec.ts';
import { isReady, planFor, readSecrets, readWorkload, renderPod, revisionOf } from './workload.ts';
import type { Workload } from './workload.ts';

export interface KubeletOptions {
  readonly kube: MemoryKube;
  readonly namespace: string;
  /** Folder for the files of volumes. */
  readonly dir: string;
  readonly log: Log;
  readonly startRole: (role: RoleName, env: Readonly<Record<string, string>>) => Promise<RunningRole>;
  /** What differs from a real pod: store, bus, ports. Ports a role had before come back in `ports`. */
  readonly overrides: (role: RoleName, ordinal: number) => Readonly<Record<string, string>>;
}

interface Process {
  readonly uid: string;
  readonly role: RunningRole | null;
  /** Ports stay with the pod when its process is started again, as a pod's address does. */
  readonly ports: Readonly<Record<string, number>>;
  state: 'starting' | 'running' | 'stopping';
}

const PORT_ENV = {
  client: 'PUSHCLUSTER_CLIENT_PORT',
  link: 'PUSHCLUSTER_LINK_PORT',
  admin: 'PUSHCLUSTER_ADMIN_PORT',
  http: 'PUSHCLUSTER_HTTP_PORT',
  tcp: 'PUSHCLUSTER_TCP_PORT',
} as const;

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

  /** A crash: the role's sockets and memory go at once; like a real kubelet this one starts it again in the same pod. */
  kill(pod: string): void {
    const process = this.#processes.get(pod);
    if (process?.role == null) throw new Error(`expected a running pod, got ${pod}`);
    process.role.kill();
    this.#processes.set(pod, { ...process, role: null, state: 'stopping' });
    void this.#setReady(pod, false)
      .then(() => this.#forget(pod))
      .catch((error: unknown) => this.#options.log.error({ err: error, pod }, 'marking a killed pod failed'));
  }

  /** Ends every role the graceful way and stops watching. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches) watch.stop();
    this.#watches = [];
    if (this.#syncing) await new Promise<void>((resolve) => (this.#idle = resolve));
    await Promise.all([...this.#processes.values()].flatMap(({ role }) => (role === null ? [] : [role.stop()])));
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
        .catch((error: unknown) => this.#options.log.error({ err: error }, 'embedded kubelet sync failed'))
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
    if (workload.kind === 'Deployment') await this.#announceService(workload);
    const { metadata } = workload.object;
    const kind = workload.kind === 'StatefulSet' ? KINDS.statefulSet : KINDS.deployment;
    const revisions = { updateRevision: workload.revision, currentRevision: workload.revision };
    const status = {
      observedGeneration: metadata.generation ?? 1,
      replicas: workload.pods.length,
      readyReplicas: ready.length,
      availableReplicas: ready.length,
      updatedReplicas: updated.length,
      ...(workload.kind === 'StatefulSet' ? revisions : {}),
    };
    if (JSON.stringify(workload.object['status']) !== JSON.stringify(status)) {
      await kube.setStatus(kind, { name: metadata.name, namespace }, status);
    }
  }

  /** The Service in front of a Deployment leads to its first pod that runs. */
  async #announceService(workload: Workload): Promise<void> {
    const { kube, namespace } = this.#options;
    const names = workload.pods.map((pod) => pod.metadata.name).sort();
    const serving = names.map((name) => this.#processes.get(name)).find((process) => process?.state === 'running');
    const service = await kube.get(KINDS.service, { name: workload.object.metadata.name, namespace });
    if (serving === undefined || service === null) return;
    const address = `http://127.0.0.1:${serving.ports['http']}`;
    if (service.metadata.annotations?.[ANNOTATION_HTTP_ADDRESS] === address) return;
    const at = { name: service.metadata.name, namespace };
    await kube.merge(KINDS.service, at, { metadata: { annotations: { [ANNOTATION_HTTP_ADDRESS]: address } } });
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
      this.#options.log.error({ err: error, pod: name }, 'role did not start');
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
      ...this.#options.overrides(plan.role, ordinal),
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
      .catch((error: unknown) => this.#options.log.error({ err: error, pod: name }, 'role did not stop cleanly'))
      .then(() => this.#release(pod))
      .catch((error: unknown) => this.#options.log.error({ err: error, pod: name }, 'pod was not released'));
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
    await kube.setStatus(
      KINDS.pod,
      { name, namespace },
      {
        phase: 'Running',
        podIP: '127.0.0.1',
        hostIP: '127.0.0.1',
        conditions: ['Ready', 'ContainersReady'].map((type) => ({ type, status, lastTransitionTime })),
      },
    );
  }

  #writeFiles(pod: string, plan: PodPlan): string {
    const dir = join(this.#options.dir, pod);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const [path, text] of Object.entries(plan.files)) {
      const file = join(dir, path);
      // Roles read keys again when a file's time changes.
      if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
      writeFileSync(file, text, { mode: 0o600 });
    }
    return dir;
  }
}
