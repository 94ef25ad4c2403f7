// A Kafka broker beside the cluster's pods, in the cluster's own network: on the first node's address, which pods reach. Scenarios start it
// before their PushCluster, name it there with busSpec, and kill and start it as they like.
import { TestBroker } from '../../workloads/bus/kafka/test-broker.ts';
import { controlPlaneIp } from '../cluster/layout.ts';
import { liveCluster } from '../cluster/live.ts';
import { requirePart } from '../setup/parts.ts';

/** Starts an empty broker; ends with `remove()`, or with the cluster. Throws where the cluster is not one of our own. */
export async function startKafka(): Promise<TestBroker> {
  liveCluster();
  requirePart('java');
  return await TestBroker.start({ program: requirePart('kafka'), host: controlPlaneIp });
}

/** `bus` of a PushCluster's spec. One broker holds one replica of each partition. */
export function busSpec(broker: TestBroker): Readonly<Record<string, unknown>> {
  return { kafka: { brokers: broker.brokers, partitions: 8, replicationFactor: 1 } };
}
