// "I edit and delete things by hand, I make mistakes, my operator crashes, I restart rollouts the way I always did, and I delete it all."
// Scenario 4 of the issue, on one PushCluster from its making to its end, with clients and pushes wherever sessions are at stake.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { apply, getObject, kubectl, tryKubectl } from '../cluster/kubectl.ts';
import type { KubeObject, Pod } from '../cluster/kubectl.ts';
import { waitFor } from '../cluster/wait.ts';
import { explained } from '../world/diagnosis.ts';
import { images } from '../world/images.ts';
import { measured, timed } from '../world/measured.ts';
import { findLeader, killLeader } from '../world/operator.ts';
import {
  aPushCluster,
  childrenOf,
  condition,
  isReadyWith,
  patchSpec,
  podsOf,
  readPushCluster,
  removePushCluster,
  scalePushCluster,
  waitForCluster,
} from '../world/push-cluster.ts';
import { openStage } from '../world/stage.ts';
import type { Stage } from '../world/stage.ts';
import { followKind } from '../world/timeline.ts';
import { startTraffic } from '../world/traffic.ts';

const namespace = 'e2e-upkeep';
const name = 'upkeep';
const CLIENTS = 150;

/** Children of each kind that may be deleted without ending a session. */
const DELETED = [
  'service/upkeep-registry',
  'service/upkeep-gateway-1',
  'configmap/upkeep-routing',
  'configmap/upkeep-apps',
  'deployment/upkeep-registry',
  'serviceaccount/upkeep-router',
  'rolebinding/upkeep-config-reader',
  'poddisruptionbudget/upkeep-gateway',
];

interface Edit {
  readonly what: string;
  /** JSON patch, as `kubectl patch --type=json` takes it. */
  readonly path: string;
  readonly value: unknown;
  /** Whether the object is as the operator wants it. */
  readonly isRight: (object: KubeObject) => boolean;
}
const at = (object: KubeObject, path: string): unknown =>
  path.split('/').reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], object);

const EDITED: readonly Edit[] = [
  {
    what: 'deployment/upkeep-router',
    path: '/spec/replicas',
    value: 3,
    isRight: (object) => at(object, 'spec/replicas') === 1,
  },
  {
    what: 'statefulset/upkeep-gateway',
    path: '/spec/template/spec/containers/0/image',
    value: 'someone:elses',
    isRight: (object) => at(object, 'spec/template/spec/containers/0/image') === images.product,
  },
  {
    what: 'service/upkeep-router',
    path: '/spec/selector/app.kubernetes.io~1component',
    value: 'registry',
    isRight: (object) => (at(object, 'spec/selector') as Labels)['app.kubernetes.io/component'] === 'router',
  },
  {
    what: 'configmap/upkeep-routing',
    path: '/data',
    value: { 'routing.json': '{}' },
    isRight: (object) => (at(object, 'data') as Labels)['routing.json']?.includes('upkeep-gateway-1') === true,
  },
  {
    what: 'poddisruptionbudget/upkeep-gateway',
    path: '/spec/maxUnavailable',
    value: 5,
    isRight: (object) => at(object, 'spec/maxUnavailable') === 1,
  },
];
type Labels = Readonly<Record<string, string>>;

/** Specs that must not get in, and what the refusal must name. */
const REFUSED: readonly (readonly [what: string, spec: Readonly<Record<string, unknown>>, said: RegExp])[] = [
  ['a gateway count that is text', { gateway: { replicas: 'two' } }, /spec\.gateway\.replicas.*integer/],
  ['more gateways than there may be', { gateway: { replicas: 100_000 } }, /spec\.gateway\.replicas/],
  ['a field that does not exist', { gateway: { replicsa: 3 } }, /replicsa/],
  ['a strategy nobody knows', { routing: { strategy: 'at-random' } }, /spec\.routing\.strategy.*at-random/],
  ['a duration without unit', { disruption: { drainDeadline: '10' } }, /spec\.disruption\.drainDeadline/],
  [
    'fewer at most than at least',
    { autoscaling: { minReplicas: 5, maxReplicas: 2 } },
    /spec\.autoscaling.*minReplicas/,
  ],
  [
    'several addresses for one Redis',
    { store: { redis: { mode: 'single', addresses: ['a:6379', 'b:6379'] } } },
    /spec\.store\.redis/,
  ],
  [
    'one address for all gateways',
    { gateway: { exposure: { addressTemplate: 'wss://push.example.com/' } } },
    /addressTemplate/,
  ],
];

const read = async (what: string): Promise<KubeObject | undefined> => {
  const [kind = '', child = ''] = what.split('/');
  return await getObject(kind, child, namespace);
};

describe('a PushCluster in untidy hands', { timeout: 400_000 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await explained(namespace, async () => {
      const disruption = { reconnectsPerSecond: 50 };
      return await openStage({ name, gateways: 2, spec: { disruption } });
    });
  });
  after(async () => await stage?.close());

  it('puts right what was deleted and what was edited by hand, without touching a gateway', async () => {
    await explained(namespace, async () => {
      const before = await podsOf(stage, 'gateway');
      const uids = new Map(
        await Promise.all(DELETED.map(async (what) => [what, (await read(what))?.metadata.uid] as const)),
      );
      const startedAt = performance.now();
      await kubectl(['delete', '-n', namespace, '--wait=false', ...DELETED]);
      for (const what of DELETED) {
        const isBack = async (): Promise<boolean> => {
          const found = await read(what);
          return (
            found !== undefined &&
            found.metadata.deletionTimestamp === undefined &&
            found.metadata.uid !== uids.get(what)
          );
        };
        await waitFor(`${what} to be made again`, isBack, { timeoutMs: 30_000, intervalMs: 200 });
      }
      const deletedS = (performance.now() - startedAt) / 1000;
      const editedS = await putRight();
      measured('drift', {
        'deleted children made again, seconds': deletedS,
        'edited children put right, seconds': editedS,
      });
      await waitForCluster(stage, 'Ready again', isReadyWith(2), 60_000);
      const after = await podsOf(stage, 'gateway');
      assert.deepEqual(
        after.map((pod) => pod.metadata.uid),
        before.map((pod) => pod.metadata.uid),
        'the gateways that were there',
      );
    });
  });

  it('refuses bad resources at the door, each with a message that names the field', async () => {
    for (const [what, spec, said] of REFUSED) {
      const manifest = JSON.stringify(aPushCluster({ namespace, name: 'bad' }, spec));
      const answer = await tryKubectl(['apply', '--validate=strict', '-f', '-'], { stdin: manifest });
      assert.notEqual(answer.code, 0, `${what} was let in`);
      assert.match(answer.stderr, said, what);
    }
    measured('bad resources', { 'refused by the API server': REFUSED.length });
  });

  it('refuses with a condition and an event what got past the schema, and touches nothing', async () => {
    await explained(
      namespace,
      async () =>
        await withoutSchema(async () => {
          const bad = { namespace, name: 'past-the-door' };
          await apply([aPushCluster(bad, { gateway: { replicas: 2, connectionsPerGateway: 'many' } })]);
          const refused = await waitForCluster(
            bad,
            'Refused',
            (cluster) => condition(cluster, 'Refused').status === 'True' || 'not refused yet',
            30_000,
          );
          assert.match(condition(refused, 'Refused').said, /spec\.gateway\.connectionsPerGateway.*many/);
          assert.deepEqual(await childrenOf(bad), [], 'nothing was made');
          const hasEvent = async (): Promise<boolean> => {
            const fields = `involvedObject.name=${bad.name},type=Warning`;
            return (
              (await kubectl(['get', 'events', '-n', namespace, '--field-selector', fields, '-o', 'name'])).trim() !==
              ''
            );
          };
          await waitFor('an event about the refusal', hasEvent, { timeoutMs: 15_000, intervalMs: 300 });
          await removePushCluster(bad, 30_000);

          // One that runs and is then spoilt keeps running as it was.
          const pods = await podsOf(stage, 'gateway');
          const before = await read('statefulset/upkeep-gateway');
          await patchSpec(stage, { disruption: { maxUnavailable: 'all' } });
          await waitForCluster(
            stage,
            'Refused',
            (cluster) => condition(cluster, 'Refused').status === 'True' || 'not refused yet',
            30_000,
          );
          assert.deepEqual(
            (await podsOf(stage, 'gateway')).map((pod) => pod.metadata.uid),
            pods.map((pod) => pod.metadata.uid),
          );
          assert.equal((await read('statefulset/upkeep-gateway'))?.metadata.generation, before?.metadata.generation);
          await patchSpec(stage, { disruption: { maxUnavailable: 1 } });
          await waitForCluster(stage, 'Ready again', isReadyWith(2), 30_000);
        }),
    );
  });

  it('goes on with a drain when the operator is killed in the middle of it, and removes one gateway once', async () => {
    await explained(namespace, async () => {
      await scalePushCluster(stage, 3);
      await waitForCluster(stage, 'Ready with 3 gateways', isReadyWith(3));
      await patchSpec(stage, { disruption: { reconnectsPerSecond: 8 } });
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 40 });
      const pods = await followKind<Pod>('pods', namespace, `pushcluster.io/cluster=${name}`);
      const sets = await followKind('statefulsets', namespace, 'app.kubernetes.io/component=gateway');
      await scalePushCluster(stage, 2);
      const draining = await waitForCluster(stage, 'a drain under way', (cluster) => {
        const { drain } = cluster.status ?? {};
        return (
          (drain != null && (drain.left ?? 0) > 0 && (drain.left ?? 0) < (CLIENTS / 3) * 0.9) || 'no drain under way'
        );
      });
      const leader = await killLeader();
      const startedAt = performance.now();
      await waitFor('a leader after the kill', async () => await findLeader(), { timeoutMs: 60_000, intervalMs: 200 });
      const settled = await waitForCluster(stage, 'Ready with 2 gateways', isReadyWith(2), 120_000);
      measured('operator killed in mid-drain', {
        killed: leader,
        'sessions left when it was killed': draining.status?.drain?.left ?? Number.NaN,
        'seconds until drained and removed': (performance.now() - startedAt) / 1000,
      });
      pods.stop();
      sets.stop();
      const removed = pods.seen.filter(
        ({ type, object }) => type === 'DELETED' && object.metadata.name.includes('-gateway-'),
      );
      assert.deepEqual(
        removed.map(({ object }) => object.metadata.name),
        ['upkeep-gateway-2'],
        'removed once, and only it',
      );
      const replicas = sets.seen.map(({ object }) => Number(at(object, 'spec/replicas')));
      assert.deepEqual([...new Set(replicas)], [3, 2], 'replicas of the StatefulSet went down once');
      assert.equal(settled.status?.replicas, 2);
      await traffic.stop('operator killed in mid-drain');
    });
  });

  it('turns a rollout restart by hand into paced drains, one gateway at a time', async () => {
    await explained(namespace, async () => {
      await patchSpec(stage, { disruption: { reconnectsPerSecond: 50 } });
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 40 });
      const before = await podsOf(stage, 'gateway');
      await timed('rollout restart by hand, both gateways replaced', async () => {
        await kubectl(['rollout', 'restart', 'statefulset/upkeep-gateway', '-n', namespace]);
        await waitForCluster(
          stage,
          'both gateways replaced',
          (cluster) => {
            const outdated = (cluster.status?.gateways ?? []).filter((gateway) => gateway.outdated);
            return outdated.length > 0 ? `${outdated.length} are of the old revision` : isReadyWith(2)(cluster);
          },
          120_000,
        );
        const areNew = async (): Promise<boolean> => {
          const now = await podsOf(stage, 'gateway');
          return now.length === 2 && now.every((pod) => before.every((old) => old.metadata.uid !== pod.metadata.uid));
        };
        await waitFor('two new pods', areNew, { timeoutMs: 120_000, intervalMs: 300 });
        await waitForCluster(stage, 'Ready with 2 gateways', isReadyWith(2), 60_000);
      });
      const result = await traffic.stop('rollout restart by hand');
      assert.equal(result.unasked, 0, 'no connection was cut: every client was asked to move first');
    });
  });

  it('drains on delete, and then nothing is left', async () => {
    await explained(namespace, async () => {
      // There is nowhere to go: whoever is still there at the deadline is closed.
      await patchSpec(stage, { disruption: { drainDeadline: '10s' } });
      const traffic = await startTraffic(stage, { clients: CLIENTS, pushesPerSecond: 0 });
      const cluster = await readPushCluster(stage);
      assert.deepEqual((cluster.metadata as { finalizers?: string[] }).finalizers, ['pushcluster.io/drain']);
      const took = await removePushCluster(stage, 90_000);
      measured('delete', {
        'seconds until drained and gone': took.resource,
        'seconds until every child is gone': took.children,
      });
      await traffic.abandon();
      const { stdout } = await tryKubectl([
        'get',
        'all,configmaps,secrets,pdb,networkpolicies,leases,pushclusters',
        '-n',
        namespace,
        '-o',
        'name',
      ]);
      const besides = ['configmap/kube-root-ca.crt', 'pushapp.pushcluster.io/shop'];
      const left = stdout.split('\n').filter((line) => line !== '' && !besides.includes(line));
      assert.deepEqual(left, [], 'what is left in the namespace');
    });
  });
});

/** Edits every child, then waits until each is right; returns the seconds it took. */
async function putRight(): Promise<number> {
  const startedAt = performance.now();
  for (const { what, path, value } of EDITED)
    await kubectl([
      'patch',
      '-n',
      namespace,
      what,
      '--type=json',
      '-p',
      JSON.stringify([{ op: 'replace', path, value }]),
    ]);
  for (const { what, isRight } of EDITED) {
    const look = async (): Promise<boolean> => {
      const found = await read(what);
      return found !== undefined && isRight(found);
    };
    await waitFor(`${what} to be put right`, look, { timeoutMs: 30_000, intervalMs: 200 });
  }
  return (performance.now() - startedAt) / 1000;
}

/** Runs something while the API server takes any PushCluster, as one with an older CRD would; puts the CRD back afterwards. */
async function withoutSchema(work: () => Promise<void>): Promise<void> {
  const crd = 'pushclusters.pushcluster.io';
  const found = await getObject('crd', crd);
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const path = '/spec/versions/0/schema/openAPIV3Schema';
  const schema = (at(found ?? { metadata: { name: crd } }, 'spec/versions/0/schema/openAPIV3Schema') ?? {}) as Record<
    string,
    unknown
  >;
  const properties = { spec: open, status: open };
  const patchTo = async (value: unknown): Promise<void> => {
    await kubectl(['patch', 'crd', crd, '--type=json', '-p', JSON.stringify([{ op: 'replace', path, value }])]);
  };
  await patchTo({ ...open, properties });
  try {
    await work();
  } finally {
    await patchTo(schema);
  }
}
