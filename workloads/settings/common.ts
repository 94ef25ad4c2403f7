// Settings that every role has. The operator writes these into pods (manifests/), so their names are a contract.
import { busSettings } from './bus.ts';
import { choice, integer, text } from './setting.ts';

export const commonSettings = {
  cluster: text('PUSHCLUSTER_CLUSTER', 'Name of the PushCluster; tokens name it as their issuer.'),
  bind: text('PUSHCLUSTER_BIND', 'Address that ports listen on.', '0.0.0.0'),
  logLevel: choice('PUSHCLUSTER_LOG_LEVEL', 'Least level that is logged.', {
    values: ['debug', 'info', 'warn', 'error', 'silent'],
    fallback: 'info',
  }),
  store: text(
    'PUSHCLUSTER_STORE',
    'The store: redis://host:port, redis+cluster://h1:p1,h2:p2, redis+sentinel://h1:p1,h2:p2/master-name, or sqlite:/path/to/file.',
  ),
  storePassword: text('PUSHCLUSTER_STORE_PASSWORD', 'Password of the store; empty: none.', ''),
  storeTimeoutMs: integer(
    'PUSHCLUSTER_STORE_TIMEOUT_MS',
    'A command of the store that takes longer has failed, outcome unknown.',
    { fallback: 2000, min: 50, max: 60_000 },
  ),
  bus: busSettings.bus,
  keysDir: text(
    'PUSHCLUSTER_KEYS_DIR',
    'Folder with the key files of protocol/credentials.ts; read again when a file changes.',
  ),
  adminPort: integer('PUSHCLUSTER_ADMIN_PORT', 'Port of health, metrics and admin; 0 picks one.', {
    fallback: 9090,
    min: 0,
    max: 65_535,
  }),
} as const;
