// Settings of the operator process. What it does to clusters is in PushCluster, not here.
import { choice, integer, text } from './setting.ts';

export const operatorSettings = {
  namespace: text('PUSHCLUSTER_NAMESPACE', 'Namespace that the operator runs in: its Lease lies there.', 'default'),
  watchNamespace: text('PUSHCLUSTER_WATCH_NAMESPACE', 'Namespace whose PushClusters it serves; empty: all.', ''),
  identity: text('PUSHCLUSTER_IDENTITY', 'Name of this process in the Lease: its pod’s name.'),
  leaseName: text('PUSHCLUSTER_LEASE_NAME', 'Name of the Lease.', 'pushcluster-operator'),
  leaseMs: integer('PUSHCLUSTER_LEASE_MS', 'Leadership is lost this long after its last renewal.', {
    fallback: 15_000,
    min: 2000,
    max: 120_000,
  }),
  watchNodes: choice('PUSHCLUSTER_WATCH_NODES', 'yes: gateways on cordoned nodes are drained; needs a ClusterRole.', {
    values: ['yes', 'no'],
    fallback: 'yes',
  }),
  reconcilesMax: integer('PUSHCLUSTER_RECONCILES_MAX', 'PushClusters looked after at the same time.', {
    fallback: 4,
    min: 1,
    max: 64,
  }),
  resyncMs: integer('PUSHCLUSTER_RESYNC_MS', 'Each PushCluster is looked at this often when nothing happens.', {
    fallback: 10_000,
    min: 500,
    max: 600_000,
  }),
  activeMs: integer('PUSHCLUSTER_ACTIVE_MS', 'And this often while a drain or rollout is under way.', {
    fallback: 1000,
    min: 50,
    max: 60_000,
  }),
  kubeTimeoutMs: integer('PUSHCLUSTER_KUBE_TIMEOUT_MS', 'A request to the API server that takes longer has failed.', {
    fallback: 15_000,
    min: 500,
    max: 120_000,
  }),
  gatewayTimeoutMs: integer(
    'PUSHCLUSTER_GATEWAY_TIMEOUT_MS',
    'A gateway that does not answer its admin port within this is unknown.',
    { fallback: 2000, min: 50, max: 30_000 },
  ),
  bind: text('PUSHCLUSTER_BIND', 'Address that health and metrics listen on.', '0.0.0.0'),
  adminPort: integer('PUSHCLUSTER_ADMIN_PORT', 'Port of health and metrics; 0 picks one.', {
    fallback: 9090,
    min: 0,
    max: 65_535,
  }),
  logLevel: choice('PUSHCLUSTER_LOG_LEVEL', 'Least level that is logged.', {
    values: ['debug', 'info', 'warn', 'error', 'silent'],
    fallback: 'info',
  }),
} as const;
