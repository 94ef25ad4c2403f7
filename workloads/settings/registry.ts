// Settings of a registry.
import { commonSettings } from './common.ts';
import { configSettings } from './config-source.ts';
import { integer } from './setting.ts';

export const registrySettings = {
  ...commonSettings,
  ...configSettings,
  httpPort: integer('PUSHCLUSTER_HTTP_PORT', 'Port of the registry API; 0 picks one.', {
    fallback: 8082,
    min: 0,
    max: 65_535,
  }),
  tokenTtlMs: integer('PUSHCLUSTER_TOKEN_TTL_MS', 'Tokens are good for this long.', {
    fallback: 3_600_000,
    min: 1000,
    max: 2_592_000_000,
  }),
  heartbeatIntervalMs: integer('PUSHCLUSTER_HEARTBEAT_INTERVAL_MS', 'Told to clients; the same as the gateways have.', {
    fallback: 25_000,
    min: 200,
    max: 3_600_000,
  }),
  registrationsPerSecond: integer(
    'PUSHCLUSTER_REGISTRATIONS_PER_SECOND',
    'Registrations a second before new ones get 503 with retry-after.',
    { fallback: 2000, min: 1, max: 100_000 },
  ),
} as const;
