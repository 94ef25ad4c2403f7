// Keeps the cluster's Secrets (token, ticket, link and admin keys) in the data folder, so that tokens and tickets that clients hold
// still work after `npm start -- --data DIR` was stopped and started. embedded.ts loads them before the operator looks.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { KINDS } from '../../operator/kube/port.ts';
import type { Kube, KubeObject } from '../../operator/kube/port.ts';

type SecretData = Readonly<Record<string, string>>;

/** The file is not what this program wrote. */
export class KeptSecretsError extends Error {
  readonly code = 'kept-secrets';
}

/** Creates the Secrets that the file holds, then writes the file anew at each change (mode 0600). The answer stops that. */
export async function keepSecrets(kube: Kube, namespace: string, path: string): Promise<() => void> {
  const held = new Map<string, SecretData>(Object.entries(readKept(path)));
  for (const [name, data] of held) {
    await kube.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data });
  }
  const { resourceVersion } = await kube.list(KINDS.secret, { namespace });
  const watch = kube.watch(KINDS.secret, { namespace, resourceVersion }, (event) => {
    if (event.type === 'bookmark') return;
    takeChange(held, event.object, event.type === 'deleted');
    writeFileSync(`${path}.new`, JSON.stringify(Object.fromEntries(held)), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  });
  return () => watch.stop();
}

function takeChange(held: Map<string, SecretData>, secret: KubeObject, isDeleted: boolean): void {
  if (isDeleted) held.delete(secret.metadata.name);
  else held.set(secret.metadata.name, (secret['data'] ?? {}) as SecretData);
}

function readKept(path: string): Readonly<Record<string, SecretData>> {
  if (!existsSync(path)) return {};
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, SecretData>>;
  } catch (error) {
    throw new KeptSecretsError(`${path}: expected the JSON that an earlier run wrote; remove it to make new keys`, {
      cause: error,
    });
  }
}
