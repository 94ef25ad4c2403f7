// What the cluster's own credentials say. Signing and checking: runtime/credentials.ts.
//   token   registry → client: who it is; checked by public key anywhere (Ed25519, compact JWS, header {alg,kid,typ:'JWT'})
//   ticket  gateway → client: permission to resume (HMAC-SHA256 by the ticket key)
import type { AccountId, AppId, DeviceId } from './ids.ts';

export interface TokenClaims {
  /** Always the cluster's name: a token of another cluster is invalid. */
  readonly iss: string;
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** Topic patterns of the app at the time of signing. */
  readonly topics: readonly string[];
  /** The app wants to be told when its devices come and go, at the time of signing. */
  readonly presence?: true;
  /** Token id: the store keeps token id → client (A1). */
  readonly jti: string;
  /** Seconds since 1970. */
  readonly iat: number;
  readonly exp: number;
}

export interface TicketClaims {
  readonly app: AppId;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly topics: readonly string[];
  /** As of the token. */
  readonly presence?: true;
  /** The session's generation; resuming raises it by one, so a ticket works once. */
  readonly generation: number;
  /** Names of the gateways it may be used at; empty: any. */
  readonly targets: readonly string[];
  /** When the device's permission began, seconds since 1970 (compared with a revocation). */
  readonly iat: number;
  readonly exp: number;
}

/** One symmetric key as a Secret holds it: lists of these, newest first; all of them verify, the first signs. */
export interface SymmetricKey {
  readonly kid: string;
  /** base64url, 32 bytes. */
  readonly secret: string;
  readonly createdAt: string;
}
/** One signing key of the registry; JWKs of an Ed25519 pair. The public list has no `privateJwk`. */
export interface SigningKey {
  readonly kid: string;
  readonly publicJwk: Readonly<Record<string, unknown>>;
  readonly privateJwk?: Readonly<Record<string, unknown>>;
  readonly createdAt: string;
}

/** Files in the keys folder (mounted Secrets); each holds a JSON list, newest first. */
export const KEY_FILES = {
  /** Registry only: SigningKey[] with private parts. */
  tokenPrivate: 'token-private.json',
  /** Registry and gateways: SigningKey[] without private parts. */
  tokenPublic: 'token-public.json',
  /** Gateways: SymmetricKey[]. */
  ticket: 'ticket.json',
  /** Gateways and routers: SymmetricKey[]. */
  link: 'link.json',
  /** Gateways and operator: SymmetricKey[]; the bearer of the admin port is the base64url secret. */
  admin: 'admin.json',
  /** Routers and upstream: SigningKey[] with private parts; they sign webhooks. */
  webhook: 'webhook.json',
} as const;
