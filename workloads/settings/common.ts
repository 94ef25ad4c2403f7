// Settings that every role has. The operator writes these into pods (manifests/), so their names are a contract.
import { busSettings } from './bus.ts';
import { choice, integer, text } from './setting.ts';
import { storeSettings } from './store.ts';

export const commonSettings = {
  cluster: text('PUSHCLUSTER_CLUSTER', 'Name of the PushCluster; tokens name it as their issuer.'),
  bind: text('PUSHCLUSTER_BIND', 'Address that ports listen on.', '0.0.0.0'),
  logLevel: choice('PUSHCLUSTER_LOG_LEVEL', 'Least level that is logged.', {
    values: ['debug', 'info', 'warn', 'error', 'silent'],
    fallback: 'info',
  }),
  ...storeSettings,
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
