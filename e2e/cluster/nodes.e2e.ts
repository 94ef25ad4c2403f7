// Proves that a node of several can be lost as in a power cut, and come back: what scenarios about node loss stand
// on. Run: node e2e/cluster/run.ts --nodes 2 -- node --test e2e/cluster/nodes.e2e.ts

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadNodeImage } from './app-image.ts';
import { apply, getObject, kubectl, waitForPod } from './kubectl.ts';
import type { KubeObject, Pod } from './kubectl.ts';
import { findLiveCluster } from './live.ts';
import { killNode, reviveNode } from './processes.ts';
import { waitFor } from './wait.ts';

const namespace = 'nodes';

const script = `require('node:http').createServer((_, response) => response.end(process.env.HOSTNAME)).listen(8080);`;

function webOn(nodeName: string): unknown {
  const container = { name: 'web', image: 'node:24-e2e', imagePullPolicy: 'Never', args: ['-e', script] };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `web-${nodeName}`, namespace },
    // The probe only sets how soon the pod counts as Ready.
    spec: {
      nodeName,
      containers: [{ ...container, readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 } }],
    },
  };
}

async function isNodeReady(name: string): Promise<boolean> {
  const node = await getObject<KubeObject & { status: { conditions: { type: string; status: string }[] } }>(
    'node',
    name,
  );
  return (node?.status.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True');
}

const live = findLiveCluster();
const skip = (live?.nodes.length ?? 0) < 2 ? 'needs two nodes: node e2e/cluster/run.ts --nodes 2' : false;

describe('a cluster of several nodes', { skip, timeout: 180_000 }, () => {
  before(async () => {
    await loadNodeImage();
    await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
    await apply([webOn('node1'), webOn('node2')]);
    await waitForPod(namespace, 'web-node1');
    await waitForPod(namespace, 'web-node2');
  });

  it('lets a pod of one node reach a pod of another', async () => {
    const other = await getObject<Pod>('pod', 'web-node2', namespace);
    const ask = `fetch('http://${other?.status.podIP}:8080/').then(async (answer) => console.log(await answer.text()))`;
    const said = await kubectl(['exec', '-n', namespace, 'web-node1', '--', '/usr/local/bin/node', '-e', ask]);
    assert.equal(said.trim(), 'web-node2');
  });

  it('loses a node in silence, notices it, and gets it back', async () => {
    const lost = await getObject<Pod>('pod', 'web-node2', namespace);
    const url = `http://${lost?.status.podIP}:8080/`;
    const started = performance.now();
    const after = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
    await killNode('node2');
    // A power cut refuses nothing: a request must hang, not fail at once.
    await assert.rejects(fetch(url, { signal: AbortSignal.timeout(1_500) }), { name: 'TimeoutError' });
    await waitFor('node2 to be NotReady', async () => !(await isNodeReady('node2')), { timeoutMs: 60_000 });
    process.stdout.write(`measured: killed node NotReady after ${after()}\n`);
    assert.ok(await isNodeReady('node1'));

    await reviveNode('node2');
    await waitFor('node2 to be Ready', async () => await isNodeReady('node2'), { timeoutMs: 60_000 });
    await waitForPod(namespace, 'web-node2');
    process.stdout.write(`measured: revived, its pod Ready again, after ${after()}\n`);
    const back = await getObject<Pod>('pod', 'web-node2', namespace);
    const answer = await fetch(`http://${back?.status.podIP}:8080/`, { signal: AbortSignal.timeout(5_000) });
    assert.equal(await answer.text(), 'web-node2');
  });
});
