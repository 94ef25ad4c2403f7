// A consumer of kafkajs finds the coordinator of its group once, when it joins. A coordinator that dies is then asked again and again
// until it is back, though another broker has taken the group over within seconds: nothing is committed, and nothing handed, meanwhile.
// This makes it ask who coordinates now, and go on there as the member that it is; the group is not even rebalanced.
import { createRequire } from 'node:module';

/** As far as it matters here: kafkajs's cluster, its consumer group, and the offsets of that. */
interface Coordinator {
  isConnected(): boolean;
}
interface Cluster {
  refreshMetadata(): Promise<void>;
  findGroupCoordinator(of: { groupId: string }): Promise<Coordinator>;
}
interface Offsets {
  readonly cluster: Cluster;
  readonly groupId: string;
  coordinator: Coordinator;
  getCoordinator: (this: Offsets) => Promise<Coordinator>;
}
interface Group {
  readonly cluster: Cluster;
  readonly groupId: string;
  coordinator: Coordinator;
  readonly offsetManager: Offsets | null;
  heartbeat: (this: Group, options: { interval: number }) => Promise<void>;
}

/** The connection broke, the broker was silent, or it says itself that the group is another's. */
const ELSEWHERE = new Set<unknown>([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
]);
export function isElsewhere(error: unknown): boolean {
  const { name, type } = error as { name?: unknown; type?: unknown };
  return ELSEWHERE.has(name) || type === 'NOT_COORDINATOR_FOR_GROUP';
}

const finding = new WeakMap<Cluster, Promise<Coordinator>>();

/** Asked once for all who want to know. Each consumer has a cluster of its own, and one group. */
function find(cluster: Cluster, groupId: string): Promise<Coordinator> {
  const under = finding.get(cluster);
  if (under !== undefined) return under;
  const found = cluster.findGroupCoordinator({ groupId }).finally(() => finding.delete(cluster));
  finding.set(cluster, found);
  return found;
}

/** Heartbeats to a coordinator that is gone go to who follows it. Exported for its test. */
export function followed(heartbeat: Group['heartbeat']): Group['heartbeat'] {
  return async function (this: Group, options): Promise<void> {
    try {
      await heartbeat.call(this, options);
    } catch (error) {
      if (!isElsewhere(error)) throw error;
      this.coordinator = await find(this.cluster, this.groupId);
      if (this.offsetManager !== null) this.offsetManager.coordinator = this.coordinator;
      await heartbeat.call(this, options);
    }
  };
}

let isDone = false;

/** Makes kafkajs's consumers so; calling it again changes nothing. */
export function followCoordinators(): void {
  if (isDone) return;
  isDone = true;
  const require = createRequire(import.meta.url);
  const group = (require('kafkajs/src/consumer/consumerGroup') as { prototype: Group }).prototype;
  const offsets = (require('kafkajs/src/consumer/offsetManager') as { prototype: Offsets }).prototype;
  group.heartbeat = followed(group.heartbeat);
  offsets.getCoordinator = async function (this: Offsets): Promise<Coordinator> {
    if (!this.coordinator.isConnected()) this.coordinator = await find(this.cluster, this.groupId);
    return this.coordinator;
  };
}
