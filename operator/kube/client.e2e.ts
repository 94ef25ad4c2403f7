// The contract suite against the API server of KUBECONFIG: `node --test operator/kube/client.e2e.ts`, or within npm run e2e. It makes a
// namespace of its own and removes it. Without KUBECONFIG it is skipped by name.
import { after, describe } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { loadKubeConfig, openKubeClient } from './client.ts';
import { testKube } from './contract.ts';
import { isKubeStatus, KINDS } from './port.ts';
import type { Kube } from './port.ts';

const namespace = `kube-contract-${process.pid}`;

async function hasPushClusters(kube: Kube): Promise<boolean> {
  try {
    await kube.list(KINDS.pushCluster, { namespace });
    return true;
  } catch (error) {
    if (isKubeStatus(error, 404)) return false;
    throw error;
  }
}

async function eventually(is: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 150; i++) {
    if (await is()) return;
    await wait(100);
  }
  throw new Error('did not come about within 15 s');
}

if (process.env['KUBECONFIG'] === undefined) {
  describe(
    'kube port: a real API server (skipped: set KUBECONFIG, or run it by npm run e2e)',
    { skip: true },
    () => {},
  );
} else {
  const kube = openKubeClient({ config: loadKubeConfig(), timeoutMs: 15_000 });
  testKube('a real API server', async () => {
    await kube.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    return { kube, namespace, eventually, hasPushClusters: await hasPushClusters(kube) };
  });
  after(async () => {
    await kube.delete(KINDS.namespace, { name: namespace });
  });
}
