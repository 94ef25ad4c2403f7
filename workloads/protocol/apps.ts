// The apps document: every PushApp of the namespace that names this cluster, as the operator renders it into the apps
// ConfigMap (key `apps.json`) for registry and router. It holds only public material: JWKs and hashes of API keys.
import type { AppId } from './ids.ts';

export interface ApiKeyHash {
  /** Name of the key, for logs. */
  readonly name: string;
  /** Hex SHA-256 of the key. */
  readonly sha256: string;
}
export interface AppDefinition {
  readonly name: AppId;
  /** Public keys (JWK) that may sign device credentials and business tokens: EdDSA, ES256 or RS256. */
  readonly publicKeys: readonly Readonly<Record<string, unknown>>[];
  readonly apiKeys: readonly ApiKeyHash[];
  /** Asked instead of checking a signature when set. */
  readonly authWebhook?: { readonly url: string; readonly timeoutMs: number };
  /** Names, or prefixes ending in `*`, that devices may subscribe to. */
  readonly allowedTopics: readonly string[];
  readonly quotas: {
    readonly messagesPerSecond?: number;
    readonly devicesPerAccount?: number;
  };
  readonly delivery: {
    readonly ttlMs?: number;
  };
}
export interface AppsDocument {
  readonly version: 1;
  readonly revision: string;
  readonly apps: readonly AppDefinition[];
}
export const APPS_KEY = 'apps.json';

/** Whether a topic is within the patterns (names, or prefixes ending in `*`). Cost: O(patterns). */
export function isTopicAllowed(patterns: readonly string[], topic: string): boolean {
  return patterns.some((p) => (p.endsWith('*') ? topic.startsWith(p.slice(0, -1)) : p === topic));
}
