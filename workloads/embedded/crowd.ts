// Test traffic for the embedded process: a crowd of SDK clients over the real wire, a publisher that retries unknown outcomes with
// the same key, and the comparison of what was accepted with what each client's application was given, record by record.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { openClient } from '../client/client.ts';
import type { Client } from '../client/client.ts';
import type { ReceivedMessage } from '../client/received.ts';
import { signDeviceCredential } from './demo-access.ts';
import type { Embedded } from './embedded.ts';

/** Two gateways and one app that allows the topic `news`. */
export const MANIFEST = `
apiVersion: pushcluster.io/v1alpha1
kind: PushCluster
metadata: {name: demo}
spec:
  image: unused
  gateway: {replicas: 2}
  registry: {replicas: 1}
  router: {replicas: 1}
  disruption: {reconnectsPerSecond: 50, drainDeadline: 60s}
---
apiVersion: pushcluster.io/v1alpha1
kind: PushApp
metadata: {name: shop}
spec:
  clusterRef: {name: demo}
  allowedTopics: ["news"]
`;

export interface Member {
  readonly device: string;
  readonly client: Client;
  /** What the application was handed, in order. */
  readonly got: ReceivedMessage[];
}
/** An accepted message: its id and the devices it is for. */
export interface Accepted {
  readonly id: string;
  readonly devices: readonly string[];
}

const PUBLISH_TRIES_MAX = 100;

/** Resolves when `look` is true; fails with `label` and what it saw last after `timeoutMs`. Looks every 10 ms. */
export async function until(label: string, look: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await look())) {
    assert.ok(Date.now() < deadline, `${label}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Opens `count` clients, each subscribed to `topic`, and waits until all are live. */
export async function openCrowd(embedded: Embedded, count: number, topic: string): Promise<readonly Member[]> {
  const registryUrl = (await embedded.status())?.registryAddress ?? '';
  const app = embedded.apps[0] ?? '';
  const crowd = await Promise.all(
    Array.from({ length: count }, async (_, i): Promise<Member> => {
      const device = `device-${i}`;
      const got: ReceivedMessage[] = [];
      const who = { app, account: `account-${i}`, device };
      const client = await openClient({
        registryUrl,
        ...who,
        credential: () => signDeviceCredential(embedded.access, who),
        onMessage: (message) => got.push(message),
      });
      await client.subscribe(topic);
      return { device, client, got };
    }),
  );
  await until('every client is live', () => crowd.every(({ client }) => client.state().kind === 'live'));
  return crowd;
}

/** Publishes until the API says 202; every retry carries the same idempotency key. */
export async function publish(embedded: Embedded, target: unknown, devices: readonly string[]): Promise<Accepted> {
  const url = `${(await embedded.status())?.routerAddress ?? ''}/v1/messages`;
  const headers = {
    authorization: `Bearer ${embedded.access.apiKey}`,
    'content-type': 'application/json',
    'idempotency-key': randomUUID(),
  };
  let last = '';
  for (let tries = 0; tries < PUBLISH_TRIES_MAX; tries++) {
    const response = await fetch(url, {
      method: 'POST',
      headers,
      body: JSON.stringify({ target, body: { n: 1 } }),
    }).catch((error: unknown) => String(error));
    if (typeof response !== 'string') {
      last = await response.text();
      if (response.status === 202) return { id: (JSON.parse(last) as { id: string }).id, devices };
      assert.ok(response.status >= 500, `expected 202 or an outcome to retry, got ${response.status} ${last}`);
    } else last = response;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not accepted after ${PUBLISH_TRIES_MAX} tries: ${last}`);
}

/** Waits until everything accepted was handed over, then asserts: nothing lost, nothing twice, every stream in order. */
export async function assertExact(crowd: readonly Member[], accepted: readonly Accepted[]): Promise<void> {
  const wanted = new Map(crowd.map(({ device }) => [device, new Set<string>()]));
  for (const { id, devices } of accepted) for (const device of devices) wanted.get(device)?.add(id);
  const missing = (): string[] =>
    crowd.flatMap(({ device, got }) => {
      const have = new Set(got.map((message) => message.id as string));
      return [...(wanted.get(device) ?? [])].filter((id) => !have.has(id)).map((id) => `${device} ${id}`);
    });
  await until('everything accepted is handed over', () => missing().length === 0).catch((error: unknown) => {
    throw new Error(`lost ${missing().length}: ${missing().slice(0, 5).join(', ')}`, { cause: error });
  });
  for (const { device, got } of crowd) {
    const ids = got.map((message) => message.id as string);
    assert.deepEqual(ids.length, new Set(ids).size, `${device} was handed something twice`);
    assert.deepEqual(
      ids.filter((id) => wanted.get(device)?.has(id) !== true),
      [],
      `${device} was handed what nobody sent it`,
    );
    const streams = Map.groupBy(got, (message) => message.stream);
    for (const [stream, messages] of streams) {
      const offsets = messages.map((message) => message.offset ?? 0);
      assert.deepEqual(
        offsets,
        [...offsets].sort((a, b) => a - b),
        `${device} got ${stream} out of order`,
      );
    }
  }
}

/** Says goodbye for every member. */
export async function closeCrowd(crowd: readonly Member[]): Promise<void> {
  await Promise.all(crowd.map(({ client }) => client.close()));
}
