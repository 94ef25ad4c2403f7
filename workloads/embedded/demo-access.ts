// What a newcomer needs to push without making keys first: a key of the push API and a signer of device credentials, made for this
// data folder and added to the manifest's PushApps in memory. Nothing of it is in the repository.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { SignJWT, importJWK } from 'jose';
import type { JWK } from 'jose';
import type { KubeObject } from '../../operator/kube/port.ts';

export interface DemoAccess {
  /** Bearer of the push API. */
  readonly apiKey: string;
  readonly signer: { readonly publicJwk: JWK; readonly privateJwk: JWK };
}

/** Reads the folder's demo access or makes it (mode 0600). */
export function openDemoAccess(path: string): DemoAccess {
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as DemoAccess;
  const pair = generateKeyPairSync('ed25519');
  const kid = randomBytes(6).toString('hex');
  const access: DemoAccess = {
    apiKey: `demo-${randomBytes(18).toString('base64url')}`,
    signer: {
      publicJwk: { ...(pair.publicKey.export({ format: 'jwk' }) as JWK), kid, alg: 'EdDSA' },
      privateJwk: { ...(pair.privateKey.export({ format: 'jwk' }) as JWK), kid, alg: 'EdDSA' },
    },
  };
  writeFileSync(path, JSON.stringify(access), { mode: 0o600 });
  return access;
}

/** The PushApp with the demo's signer beside its own keys and, where it `pushes`, the demo's API key. A key of two apps is a key of none. */
export function withDemoAccess(app: KubeObject, access: DemoAccess, { pushes }: { pushes: boolean }): KubeObject {
  const spec = (app['spec'] ?? {}) as { apiKeys?: unknown[]; publicKeys?: unknown[] };
  const sha256 = createHash('sha256').update(access.apiKey).digest('hex');
  return {
    ...app,
    spec: {
      ...spec,
      apiKeys: [...(spec.apiKeys ?? []), ...(pushes ? [{ name: 'npm-start', sha256 }] : [])],
      publicKeys: [...(spec.publicKeys ?? []), access.signer.publicJwk],
    },
  };
}

/** A device credential as an app's own server would sign it; good for five minutes. */
export async function signDeviceCredential(
  access: DemoAccess,
  device: { app: string; account: string; device: string },
): Promise<string> {
  const key = await importJWK(access.signer.privateJwk, 'EdDSA');
  return await new SignJWT({ app: device.app, device: device.device })
    .setProtectedHeader({ alg: 'EdDSA', kid: access.signer.privateJwk.kid ?? '' })
    .setSubject(device.account)
    .setAudience('pushcluster')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(key);
}
