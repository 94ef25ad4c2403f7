// An API server in memory behind the kube port, for the embedded process and for tests. It keeps objects, versions, owners,
// finalizers and watches as a real one does; it runs no controllers: StatefulSets and Deployments are data to it, and a pod
// that is deleted with grace stays until somebody (the embedded kubelet) deletes it with graceSeconds 0, or merges
// `finalizers: null` into it.
import type { Clock } from '../../workloads/runtime/clock.ts';
import {
  assertVersion,
  hasNoFinalizer,
  isOfKind,
  isReleasing,
  isSelected,
  keyOf,
  mergePatch,
  placeOf,
  specOf,
  statusOf,
} from './memory-objects.ts';
import { fieldPaths, isRow, isSameJson, mergeFields, withoutPath } from './fields.ts';
import { addressOf, KINDS, KubeError, kindOf } from './port.ts';
import type { Address, Kind, Kube, KubeObject, ObjectMeta, Selection, Watch, WatchEnd, WatchEvent } from './port.ts';

export interface MemoryKube extends Kube {
  /** Writes the status of an object as its controller would (kubelet, StatefulSet controller); replaces it whole. */
  setStatus(kind: Kind, at: Address, status: Readonly<Record<string, unknown>>): Promise<KubeObject>;
  /** The version of the last write; equal before and after means that nothing was written. */
  latestVersion(): number;
  /** Ends all watches, as when the connection to a server is cut. */
  cutWatches(): void;
}

/** Changes kept for watches that resume; an older version is answered as expired. */
const HISTORY_MAX = 2000;

interface Change {
  readonly version: number;
  readonly kind: Kind;
  readonly event: WatchEvent & { readonly object: KubeObject };
}
interface Watcher {
  readonly kind: Kind;
  readonly selection: Selection;
  readonly onEvent: (event: WatchEvent) => void;
  readonly end: (why: WatchEnd, detail: string) => void;
}

/** Opens an empty API server. @param options.serves kinds without which it is to run; all but PodMonitor unless told. */
export function openMemoryKube(options: {
  readonly clock: Clock;
  readonly serves?: (kind: Kind) => boolean;
}): MemoryKube {
  return new Server(options.clock, options.serves ?? ((kind) => kind.kind !== KINDS.podMonitor.kind));
}

class Server implements MemoryKube {
  readonly #clock: Clock;
  readonly #serves: (kind: Kind) => boolean;
  readonly #objects = new Map<string, KubeObject>();
  /** Leaves that FIELD_MANAGER applied, by uid, and those of the status apart. */
  readonly #owned = new Map<string, Set<string>>();
  readonly #watchers = new Set<Watcher>();
  #history: Change[] = [];
  #version = 0;
  #uids = 0;

  constructor(clock: Clock, serves: (kind: Kind) => boolean) {
    this.#clock = clock;
    this.#serves = serves;
  }

  latestVersion(): number {
    return this.#version;
  }

  async get(kind: Kind, at: Address): Promise<KubeObject | null> {
    await this.#answerable(kind);
    const found = this.#objects.get(keyOf(kind, at));
    return found === undefined ? null : structuredClone(found);
  }

  async list(kind: Kind, selection: Selection): Promise<{ items: readonly KubeObject[]; resourceVersion: string }> {
    await this.#answerable(kind);
    const items = [...this.#objects.values()].filter((o) => isOfKind(o, kind) && isSelected(o, selection));
    items.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
    return { items: structuredClone(items), resourceVersion: String(this.#version) };
  }

  watch(
    kind: Kind,
    selection: Selection & { readonly resourceVersion: string },
    onEvent: (event: WatchEvent) => void,
  ): Watch {
    const { promise, resolve } = Promise.withResolvers<{ why: WatchEnd; detail: string }>();
    const from = Number(selection.resourceVersion);
    const watcher: Watcher = {
      kind,
      selection,
      onEvent,
      end: (why, detail) => {
        this.#watchers.delete(watcher);
        resolve({ why, detail });
      },
    };
    const oldest = this.#history[0]?.version ?? this.#version + 1;
    if (from + 1 < oldest && from < this.#version) {
      watcher.end('expired', `resourceVersion ${from} is too old`);
    } else {
      this.#watchers.add(watcher);
      for (const change of this.#history) if (change.version > from) this.#tell(watcher, change);
    }
    return { ended: promise, stop: () => watcher.end('closed', 'stopped') };
  }

  cutWatches(): void {
    for (const watcher of this.#watchers) watcher.end('failed', 'connection cut');
  }

  async create(object: KubeObject): Promise<KubeObject> {
    const kind = kindOf(object);
    await this.#answerable(kind);
    if (this.#objects.has(keyOf(kind, addressOf(object))))
      throw new KubeError(409, 'AlreadyExists', `${kind.plural} ${object.metadata.name} already exists`);
    return this.#insert(kind, object);
  }

  async replace(object: KubeObject): Promise<KubeObject> {
    const kind = kindOf(object);
    await this.#answerable(kind);
    const live = this.#require(kind, addressOf(object));
    assertVersion(kind, live, object.metadata);
    const { status: _ignored, ...given } = structuredClone(object);
    return this.#update(kind, live, { ...given, ...statusOf(live) });
  }

  async apply(object: KubeObject): Promise<KubeObject> {
    const kind = kindOf(object);
    await this.#answerable(kind);
    const { status: _ignored, ...rest } = structuredClone(object);
    const { uid: _uid, resourceVersion, ...metadata } = rest.metadata;
    const given = { ...rest, metadata } as KubeObject;
    const live = this.#objects.get(keyOf(kind, addressOf(object)));
    if (live === undefined) {
      if (resourceVersion !== undefined)
        throw new KubeError(409, 'Conflict', `${kind.plural} ${metadata.name}: it is gone`);
      const made = this.#insert(kind, given);
      this.#owned.set(made.metadata.uid!, fieldPaths(given));
      return made;
    }
    assertVersion(kind, live, resourceVersion === undefined ? {} : { resourceVersion });
    return this.#update(kind, live, this.#applied(live, given, live.metadata.uid!));
  }

  async applyStatus(object: KubeObject): Promise<KubeObject> {
    const kind = kindOf(object);
    await this.#answerable(kind);
    const live = this.#require(kind, addressOf(object));
    assertVersion(kind, live, object.metadata);
    const given = structuredClone({ status: object['status'] });
    return this.#update(kind, live, this.#applied(live, given, `${live.metadata.uid}/status`), 'status');
  }

  async setStatus(kind: Kind, at: Address, status: Readonly<Record<string, unknown>>): Promise<KubeObject> {
    await this.#answerable(kind);
    const live = this.#require(kind, at);
    return this.#update(kind, live, { ...live, status: structuredClone(status) }, 'status');
  }

  async merge(kind: Kind, at: Address, patch: Readonly<Record<string, unknown>>): Promise<KubeObject> {
    await this.#answerable(kind);
    const live = this.#require(kind, at);
    assertVersion(kind, live, patch['metadata'] ?? {});
    const { status: _ignored, ...given } = structuredClone(patch);
    const next = mergePatch(live, given) as KubeObject;
    if (kind.kind === 'Pod' && live.metadata.deletionTimestamp !== undefined && isReleasing(patch))
      return this.#erase(kind, next);
    return this.#update(kind, live, next);
  }

  async scale(kind: Kind, at: Address, replicas: number): Promise<void> {
    const spec = kind.kind === 'PushCluster' ? { gateway: { replicas } } : { replicas };
    await this.merge(kind, at, { spec });
  }

  async delete(
    kind: Kind,
    at: Address,
    options: { readonly uid?: string; readonly graceSeconds?: number } = {},
  ): Promise<'deleted' | 'gone'> {
    await this.#answerable(kind);
    const live = this.#objects.get(keyOf(kind, at));
    if (live === undefined) return 'gone';
    assertVersion(kind, live, options);
    this.#remove(kind, live, options.graceSeconds);
    return 'deleted';
  }

  /** Requests are answered in a later turn, as over a network. */
  async #answerable(kind: Kind): Promise<void> {
    await Promise.resolve();
    if (!this.#serves(kind))
      throw new KubeError(404, 'NotFound', `the server could not find the requested resource: ${kind.plural}`);
  }

  #require(kind: Kind, at: Address): KubeObject {
    const live = this.#objects.get(keyOf(kind, at));
    if (live === undefined) throw new KubeError(404, 'NotFound', `${kind.plural} "${at.name}" not found`);
    return live;
  }

  #applied(live: KubeObject, given: unknown, owner: string): KubeObject {
    const paths = fieldPaths(given);
    let next: unknown = live;
    for (const path of this.#owned.get(owner) ?? []) if (!paths.has(path)) next = withoutPath(next, path);
    this.#owned.set(owner, paths);
    return mergeFields(next, given) as KubeObject;
  }

  #insert(kind: Kind, given: KubeObject): KubeObject {
    const { status: _ignored, ...rest } = structuredClone(given);
    const metadata: ObjectMeta = {
      ...rest.metadata,
      uid: `00000000-0000-4000-8000-${String(++this.#uids).padStart(12, '0')}`,
      creationTimestamp: this.#now(),
      generation: 1,
    };
    const object = this.#store(kind, this.#admit(kind, { ...rest, metadata }), 'added');
    if (this.#isOrphan(object)) queueMicrotask(() => this.#collectOrphan(kind, object.metadata.uid!));
    return structuredClone(object);
  }

  #update(kind: Kind, live: KubeObject, next: KubeObject, part: 'object' | 'status' = 'object'): KubeObject {
    const { uid, creationTimestamp, generation, deletionTimestamp } = live.metadata;
    const { deletionTimestamp: _given, ...metadata } = next.metadata;
    const kept: ObjectMeta = {
      ...(part === 'status' ? live.metadata : metadata),
      ...(uid === undefined ? {} : { uid }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      ...(generation === undefined ? {} : { generation }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      resourceVersion: live.metadata.resourceVersion!,
    };
    const object = this.#admit(kind, { ...next, metadata: kept });
    if (isSameJson(object, live)) return structuredClone(live);
    if (kept.deletionTimestamp !== undefined && hasNoFinalizer(object) && kind.kind !== 'Pod') {
      return this.#erase(kind, object);
    }
    const isChangedSpec = !isSameJson(specOf(object), specOf(live));
    const raised = isChangedSpec ? { ...kept, generation: (generation ?? 0) + 1 } : kept;
    return structuredClone(this.#store(kind, { ...object, metadata: raised }, 'modified'));
  }

  /** What the server fills in: a Service's address and node ports. */
  #admit(kind: Kind, object: KubeObject): KubeObject {
    if (kind.kind !== 'Service' || !isRow(object['spec'])) return object;
    const spec = object['spec'];
    const ports = Array.isArray(spec['ports']) ? (spec['ports'] as Record<string, unknown>[]) : [];
    return {
      ...object,
      spec: {
        ...spec,
        clusterIP: spec['clusterIP'] ?? `10.96.${(this.#uids >> 8) & 255}.${this.#uids & 255}`,
        ports: ports.map((port) =>
          spec['type'] === 'NodePort' && port['nodePort'] === undefined
            ? { ...port, nodePort: 30_000 + (++this.#uids % 2768) }
            : port,
        ),
      },
    };
  }

  #remove(kind: Kind, live: KubeObject, graceSeconds: number | undefined): void {
    const staysForKubelet = kind.kind === 'Pod' && graceSeconds !== 0;
    if (hasNoFinalizer(live) && !staysForKubelet) {
      this.#erase(kind, live);
    } else if (live.metadata.deletionTimestamp === undefined) {
      const metadata = { ...live.metadata, deletionTimestamp: this.#now() };
      this.#store(kind, { ...live, metadata }, 'modified');
    }
  }

  #erase(kind: Kind, object: KubeObject): KubeObject {
    const uid = object.metadata.uid!;
    this.#objects.delete(keyOf(kind, addressOf(object)));
    this.#owned.delete(uid);
    this.#owned.delete(`${uid}/status`);
    this.#record(kind, 'deleted', object);
    for (const dependent of this.#objects.values())
      if (dependent.metadata.ownerReferences?.some((owner) => owner.uid === uid) && this.#isOrphan(dependent))
        this.#remove(kindOf(dependent), dependent, undefined);
    return structuredClone(object);
  }

  #collectOrphan(kind: Kind, uid: string): void {
    const object = [...this.#objects.values()].find((o) => o.metadata.uid === uid);
    if (object !== undefined && this.#isOrphan(object)) this.#remove(kind, object, undefined);
  }

  #isOrphan(object: KubeObject): boolean {
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length === 0) return false;
    const alive = new Set([...this.#objects.values()].map((o) => o.metadata.uid));
    return !owners.some((owner) => alive.has(owner.uid));
  }

  #store(kind: Kind, object: KubeObject, type: 'added' | 'modified'): KubeObject {
    const next = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version + 1) } };
    this.#objects.set(keyOf(kind, addressOf(next)), next);
    this.#record(kind, type, next);
    return next;
  }

  #record(kind: Kind, type: 'added' | 'modified' | 'deleted', object: KubeObject): void {
    const version = ++this.#version;
    const metadata = { ...object.metadata, resourceVersion: String(version) };
    const change: Change = { version, kind, event: { type, object: { ...object, metadata } } };
    this.#history.push(change);
    if (this.#history.length > HISTORY_MAX) this.#history = this.#history.slice(-HISTORY_MAX / 2);
    for (const watcher of this.#watchers) this.#tell(watcher, change);
  }

  #tell(watcher: Watcher, change: Change): void {
    const { object } = change.event;
    if (watcher.kind !== change.kind && !isOfKind(object, watcher.kind)) return;
    if (!isSelected(object, watcher.selection)) return;
    queueMicrotask(() => {
      if (!this.#watchers.has(watcher)) return;
      try {
        watcher.onEvent(structuredClone(change.event));
      } catch (error) {
        watcher.end('failed', error instanceof Error ? error.message : String(error));
      }
    });
  }

  #now(): string {
    return new Date(this.#clock.nowMs()).toISOString().replace(/\.\d+Z$/, 'Z');
  }
}
