// An app (tenant) as its business has it: a key pair whose public half and an API key whose hash are in the PushApp. The fleet signs its
// devices' credentials with the private half, the publisher sends the API key. Scenarios make one for each PushCluster.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';

/** What the business keeps to itself, and the manifest that it applies. */
export interface App {
  readonly name: string;
  /** Ed25519, with `kid`; signs what devices register with. */
  readonly privateJwk: Readonly<Record<string, unknown>>;
  /** Bearer of the push API. */
  readonly apiKey: string;
  readonly manifest: unknown;
}

export interface AppOptions {
  readonly namespace: string;
  /** Name of the PushCluster that serves it. */
  readonly cluster: string;
  readonly name?: string;
  /** On top of the keys and of every topic. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Makes fresh keys and the PushApp that names them. */
export function makeApp(options: AppOptions): App {
  const name = options.name ?? 'shop';
  const kid = `${name}-1`;
  const pair = generateKeyPairSync('ed25519');
  const apiKey = randomBytes(24).toString('base64url');
  const manifest = {
    apiVersion: 'pushcluster.io/v1alpha1',
    kind: 'PushApp',
    metadata: { name, namespace: options.namespace },
    spec: {
      clusterRef: { name: options.cluster },
      publicKeys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid }],
      apiKeys: [{ name: 'e2e', sha256: createHash('sha256').update(apiKey).digest('hex') }],
      allowedTopics: ['*'],
      ...options.spec,
    },
  };
  return { name, privateJwk: { ...pair.privateKey.export({ format: 'jwk' }), kid }, apiKey, manifest };
}
