// A world for the operator's tests: the in-memory API server with the controllers that Kubernetes would run (StatefulSet, Deployment,
// kubelet, as far as gateways notice them) and gateways whose sessions move at the rate they are told. tick() lets a second pass.
// What must never happen is checked where it would happen: when a gateway's pod goes, and when replicas go down.
import assert from 'node:assert/strict';
import type { DrainRequest, GatewayState } from '../workloads/protocol/admin.ts';
import type { RoutingDocument } from '../workloads/protocol/routing.ts';
import { aManualClock } from '../workloads/runtime/clock.ts';
import { silentLog } from '../workloads/runtime/log.ts';
import { openEvents } from './events.ts';
import { aGatewayState, aKeyMaker, aPushCluster } from './fixtures.ts';
import { GatewayAdminError } from './gateway-admin.ts';
import type { GatewayAdmin } from './gateway-admin.ts';
import { contentHash } from './hash.ts';
import { openMemoryKube } from './kube/memory.ts';
import type { PodView, StatefulSetView } from './kube/objects.ts';
import { KINDS } from './kube/port.ts';
import type { Kind, Kube, KubeObject } from './kube/port.ts';
import { reconcile } from './reconcile.ts';
import type { Outcome, ReconcileDeps } from './reconcile.ts';
import type { ClusterStatus, ConditionType } from './types.ts';

export const PLACE = { name: 'demo', namespace: 'push' };

export interface FakeGateway {
  readonly uid: string;
  sessions: number;
  unacked: number;
  drain: (DrainRequest & { startedAtMs: number }) | null;
  isReachable: boolean;
  store: GatewayState['store'];
  routing: RoutingDocument | null;
  /** Fractions of sessions that were asked already. */
  asked: number;
}

/** Thrown by a port of a dead operator. */
export class KilledError extends Error {
  readonly code = 'killed';
}

export class FakeWorld {
  readonly clock = aManualClock();
  readonly kube = openMemoryKube({ clock: this.clock });
  readonly gateways = new Map<string, FakeGateway>();
  /** Gateways removed, with what they still held. */
  readonly removals: { readonly name: string; readonly sessions: number; readonly isOverdue: boolean }[] = [];
  readonly decisions: number[] = [];
  sessionsLost = 0;
  ratePeak = 0;
  drainDeadlineMs = 600_000;
  #keyMaker = aKeyMaker();

  readonly admin: GatewayAdmin = {
    state: async ({ address }) => this.#stateOf(address),
    drain: async ({ address }, request) => {
      const gateway = this.#reach(address);
      const isSame = gateway.drain?.generation === request.generation;
      gateway.drain = { ...request, startedAtMs: isSame ? gateway.drain!.startedAtMs : this.clock.nowMs() };
    },
    undrain: async ({ address }) => void (this.#reach(address).drain = null),
    putRouting: async ({ address }, document) => void (this.#reach(address).routing = document),
  };

  async create(spec: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const { metadata, ...rest } = aPushCluster(spec);
    await this.kube.create({ ...rest, metadata: { name: metadata.name, namespace: 'push' } });
  }

  /** One look of an operator. @param writesMax it is killed before the write after these */
  async reconcile(writesMax = Number.POSITIVE_INFINITY): Promise<Outcome> {
    return reconcile(PLACE, this.operator(writesMax));
  }

  /** A new operator process, without any memory. */
  operator(writesMax = Number.POSITIVE_INFINITY): ReconcileDeps {
    let writes = 0;
    const mortal = <T extends object>(port: T, reads: readonly string[]): T =>
      new Proxy(port, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name);
          if (typeof value !== 'function' || reads.includes(String(name))) return value;
          return (...given: unknown[]): unknown => {
            writes += 1;
            if (writes > writesMax) throw new KilledError();
            return Reflect.apply(value, target, given) as unknown;
          };
        },
      });
    const bound: Kube = {
      get: (...a) => this.kube.get(...a),
      list: (...a) => this.kube.list(...a),
      watch: (...a) => this.kube.watch(...a),
      create: (...a) => this.kube.create(...a),
      replace: (...a) => this.kube.replace(...a),
      apply: async (object) => {
        await this.#checkShrink(object);
        return this.kube.apply(object);
      },
      applyStatus: (...a) => this.kube.applyStatus(...a),
      merge: (...a) => this.kube.merge(...a),
      scale: (...a) => this.kube.scale(...a),
      delete: (...a) => this.kube.delete(...a),
    };
    const kube = mortal(bound, ['get', 'list', 'watch']);
    return {
      kube,
      admin: mortal(this.admin, ['state']),
      prometheus: () => Promise.resolve({ connections: new Map(), detail: '' }),
      watchNodes: true,
      clock: this.clock,
      log: silentLog,
      events: openEvents({ kube, clock: this.clock, log: silentLog }),
      keyMaker: this.#keyMaker,
      activeMs: 1000,
    };
  }

  /** A second passes: sessions move, controllers run. */
  async tick(ms = 1000): Promise<void> {
    this.clock.advance(ms);
    this.#moveSessions(ms);
    await this.controllers();
  }

  /** Reconciles and ticks until the operator says that it is settled; throws after `roundsMax`. */
  async settle(roundsMax = 400): Promise<number> {
    for (let round = 0; round < roundsMax; round++) {
      const outcome = await this.reconcile();
      if (outcome.kind === 'settled' || outcome.kind === 'refused' || outcome.kind === 'gone') return round;
      await this.tick();
    }
    throw new Error(`not settled after ${roundsMax} rounds: ${JSON.stringify(await this.status())}`);
  }

  async status(): Promise<ClusterStatus> {
    return (await this.resource())?.['status'] as ClusterStatus;
  }
  async resource(): Promise<KubeObject | null> {
    return this.kube.get(KINDS.pushCluster, PLACE);
  }
  async condition(type: ConditionType): Promise<string> {
    const found = (await this.status()).conditions.find((c) => c.type === type);
    return found === undefined ? 'absent' : `${found.status} ${found.reason}`;
  }
  async patch(spec: Readonly<Record<string, unknown>>): Promise<void> {
    await this.kube.merge(KINDS.pushCluster, PLACE, { spec });
  }
  async gatewaySet(): Promise<StatefulSetView | null> {
    return this.kube.get(KINDS.statefulSet, { name: 'demo-gateway', namespace: 'push' });
  }
  async replicas(): Promise<number> {
    return (await this.gatewaySet())?.spec?.replicas ?? 0;
  }
  async pods(): Promise<readonly PodView[]> {
    const labels = { 'app.kubernetes.io/component': 'gateway' };
    return (await this.kube.list(KINDS.pod, { namespace: 'push', labels })).items;
  }
  gateway(ordinal: number): FakeGateway {
    const found = this.gateways.get(`demo-gateway-${ordinal}`);
    if (found === undefined)
      throw new Error(`expected gateway ${ordinal}, got ${[...this.gateways.keys()].join(', ')}`);
    return found;
  }
  /** Sessions on all gateways. */
  get sessions(): number {
    return [...this.gateways.values()].reduce((sum, g) => sum + g.sessions, 0);
  }
  async events(): Promise<readonly string[]> {
    const { items } = await this.kube.list(KINDS.event, { namespace: 'push' });
    return items.map((event) => `${String(event['reason'])}: ${String(event['message'])}`);
  }
  async setReady(name: string, isReady: boolean): Promise<void> {
    await this.kube.setStatus(KINDS.pod, { name, namespace: 'push' }, this.#podStatus(isReady));
  }

  #podStatus(isReady: boolean): Record<string, unknown> {
    const lastTransitionTime = new Date(this.clock.nowMs()).toISOString();
    return {
      phase: 'Running',
      podIP: '127.0.0.1',
      hostIP: '127.0.0.1',
      conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False', lastTransitionTime }],
      containerStatuses: [{ name: 'gateway', state: { running: {} } }],
    };
  }

  #reach(address: string): FakeGateway {
    const gateway = this.gateways.get(new URL(address).hostname);
    if (gateway === undefined || !gateway.isReachable) throw new GatewayAdminError(0, 'no answer');
    return gateway;
  }

  #stateOf(address: string): GatewayState {
    const gateway = this.#reach(address);
    const { drain } = gateway;
    return aGatewayState({
      state: drain === null ? 'active' : gateway.sessions === 0 ? 'drained' : 'draining',
      sessions: gateway.sessions,
      connections: gateway.sessions,
      unacked: gateway.unacked,
      routingRevision: gateway.routing?.revision ?? null,
      store: gateway.store,
      drain:
        drain === null
          ? null
          : {
              generation: drain.generation,
              startedAtMs: drain.startedAtMs,
              asked: 0,
              left: gateway.sessions,
              ratePerSecond: drain.rate,
              deadlineMs: drain.deadlineMs,
              etaMs: null,
            },
    });
  }

  /** Clients of draining gateways resume elsewhere, at the rate that was set; unreachable ones drain on as told before. */
  #moveSessions(ms: number): void {
    const rates = [...this.gateways.values()]
      .filter((g) => g.drain !== null && g.sessions > 0)
      .map((g) => g.drain!.rate);
    this.ratePeak = Math.max(
      this.ratePeak,
      rates.reduce((sum, rate) => sum + rate, 0),
    );
    const homes = [...this.gateways.values()].filter((g) => g.drain === null);
    for (const gateway of this.gateways.values()) {
      if (gateway.drain === null) continue;
      gateway.asked += (gateway.drain.rate * ms) / 1000;
      const isOver = this.clock.nowMs() >= gateway.drain.deadlineMs;
      const leaving = Math.min(gateway.sessions, isOver ? gateway.sessions : Math.floor(gateway.asked));
      gateway.asked -= Math.floor(gateway.asked);
      gateway.sessions -= leaving;
      gateway.unacked = gateway.sessions === 0 ? 0 : gateway.unacked;
      const home = homes[0];
      if (home === undefined) this.sessionsLost += leaving;
      else home.sessions += leaving;
    }
  }

  /** Never two removals for one decision: replicas go down by one, when the one before is over. */
  async #checkShrink(object: KubeObject): Promise<void> {
    if (object.kind !== 'StatefulSet' || object.metadata.name !== 'demo-gateway') return;
    const before = await this.gatewaySet();
    const from = before?.spec?.replicas ?? 0;
    const to = (object as StatefulSetView).spec?.replicas ?? 0;
    if (to >= from) return;
    this.decisions.push(to);
    assert.equal(to, from - 1, 'replicas go down one by one');
    const pods = (await this.pods()).map((pod) => pod.metadata.name);
    assert.equal(pods.length <= from, true, `the removal before is over: ${pods.join(', ')}`);
  }

  /** StatefulSet (Parallel, OnDelete), Deployment and kubelet. */
  async controllers(): Promise<void> {
    await this.#runGatewaySet();
    for (const kind of [KINDS.deployment, KINDS.statefulSet])
      for (const object of (await this.kube.list(kind, { namespace: 'push' })).items)
        if (object.metadata.name !== 'demo-gateway') await this.#setReadyStatus(object, kind);
  }

  async #setReadyStatus(object: KubeObject, kind: Kind): Promise<void> {
    const { replicas = 1 } = (object as StatefulSetView).spec ?? {};
    const status = { observedGeneration: object.metadata.generation, replicas, readyReplicas: replicas };
    await this.kube.setStatus(kind, { name: object.metadata.name, namespace: 'push' }, status);
  }

  async #runGatewaySet(): Promise<void> {
    const set = await this.gatewaySet();
    const replicas = set?.metadata.deletionTimestamp === undefined ? (set?.spec?.replicas ?? 0) : 0;
    const pods = new Map((await this.pods()).map((pod) => [pod.metadata.name, pod]));
    for (const pod of pods.values()) await this.#runPod(pod, replicas);
    if (set === null) return;
    const revision = contentHash((set as KubeObject & { spec: { template: unknown } }).spec.template).slice(0, 8);
    for (let i = 0; i < replicas; i++) {
      const name = `demo-gateway-${i}`;
      if ((await this.kube.get(KINDS.pod, { name, namespace: 'push' })) === null)
        await this.#createPod(name, set, revision);
    }
    await this.kube.setStatus(
      KINDS.statefulSet,
      { name: 'demo-gateway', namespace: 'push' },
      { observedGeneration: set.metadata.generation, replicas: (await this.pods()).length, updateRevision: revision },
    );
  }

  async #runPod(pod: PodView, replicas: number): Promise<void> {
    const { name, deletionTimestamp } = pod.metadata;
    const ordinal = Number(name.split('-').at(-1));
    const at = { name, namespace: 'push' };
    if (deletionTimestamp !== undefined) {
      if (this.gateways.get(name)?.isReachable === false) return; // its node is dead: nobody ends it
      this.#notePodGone(name);
      await this.kube.delete(KINDS.pod, at, { graceSeconds: 0 });
    } else if (ordinal >= replicas) {
      await this.kube.delete(KINDS.pod, at);
    } else if (pod.status === undefined) {
      await this.setReady(name, true);
      const fresh = { sessions: 0, unacked: 0, drain: null, isReachable: true, routing: null, asked: 0 };
      const store = 'reachable';
      this.gateways.set(name, { uid: pod.metadata.uid ?? '', store, ...fresh });
    }
  }

  #notePodGone(name: string): void {
    const gateway = this.gateways.get(name);
    if (gateway === undefined) return;
    const isOverdue = gateway.drain !== null && this.clock.nowMs() >= gateway.drain.startedAtMs + this.drainDeadlineMs;
    this.removals.push({ name, sessions: gateway.sessions, isOverdue });
    this.gateways.delete(name);
  }

  async #createPod(name: string, set: StatefulSetView, revision: string): Promise<void> {
    const { template } = (set as KubeObject & { spec: { template: { metadata: { labels: Record<string, string> } } } })
      .spec;
    await this.kube.create({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace: 'push',
        labels: { ...template.metadata.labels, 'controller-revision-hash': revision },
        annotations: { 'pushcluster.io/admin-address': `http://${name}:1` },
        ownerReferences: [
          { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'demo-gateway', uid: set.metadata.uid ?? '' },
        ],
      },
      spec: { nodeName: 'node-1' },
    });
  }
}
