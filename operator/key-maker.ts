// Makes keys and passwords from the system's randomness: the KeyMaker that main.ts and the embedded process hand to the plan.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyMaker } from './keys.ts';

const kid = (): string => randomBytes(9).toString('base64url');

export const systemKeyMaker: KeyMaker & { password(): string } = {
  symmetric: (nowIso) => ({ kid: kid(), secret: randomBytes(32).toString('base64url'), createdAt: nowIso }),
  signing: (nowIso) => {
    const pair = generateKeyPairSync('ed25519');
    return {
      kid: kid(),
      publicJwk: { ...pair.publicKey.export({ format: 'jwk' }) },
      privateJwk: { ...pair.privateKey.export({ format: 'jwk' }) },
      createdAt: nowIso,
    };
  },
  password: () => randomBytes(24).toString('base64url'),
};
