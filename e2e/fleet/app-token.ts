// What the app of the test devices does: signs the credential that a device registers with (Ed25519). The private key comes from a file or
// from whoever applied the PushApp with its public half.
import { SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';
import type { JWK } from 'jose';

export type Jwk = Readonly<Record<string, unknown>>;
export interface AppKeyPair {
  /** For the PushApp's `publicKeys`. */
  readonly publicJwk: Jwk;
  readonly privateJwk: Jwk;
}

/** Who must be named as audience, by the registry's rule. */
const AUDIENCE = 'pushcluster';
const TTL_SECONDS = 600;

/** A fresh Ed25519 pair with a key id. */
export async function makeAppKeys(kid = 'fleet-1'): Promise<AppKeyPair> {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  return {
    publicJwk: { ...(await exportJWK(publicKey)), kid, alg: 'EdDSA' },
    privateJwk: { ...(await exportJWK(privateKey)), kid, alg: 'EdDSA' },
  };
}

/** Opens a signer: (account, device) → credential for POST /v1/register. Cost: about 60 µs each. */
export async function openAppSigner(
  app: string,
  privateJwk: Jwk,
): Promise<(account: string, device: string) => Promise<string>> {
  const key = await importJWK(privateJwk as JWK, 'EdDSA');
  const kid = privateJwk['kid'];
  const header = typeof kid === 'string' ? { alg: 'EdDSA', kid } : { alg: 'EdDSA' };
  return (account, device) =>
    new SignJWT({ app, device })
      .setProtectedHeader(header)
      .setSubject(account)
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .setExpirationTime(`${TTL_SECONDS}s`)
      .sign(key);
}
