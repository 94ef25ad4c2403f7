// What registry and router have alike: where they watch the routing and apps documents, and how they end.
import { choice, integer, text } from './setting.ts';

export const configSettings = {
  configSource: choice('PUSHCLUSTER_CONFIG_SOURCE', 'kubernetes: watch ConfigMaps; embedded: given by the process.', {
    values: ['kubernetes', 'embedded'],
    fallback: 'kubernetes',
  }),
  namespace: text('PUSHCLUSTER_NAMESPACE', 'Namespace of the ConfigMaps.', 'default'),
  routingConfigMap: text('PUSHCLUSTER_ROUTING_CONFIGMAP', 'ConfigMap with the routing document.', ''),
  appsConfigMap: text('PUSHCLUSTER_APPS_CONFIGMAP', 'ConfigMap with the apps document.', ''),
  stopDelayMs: integer(
    'PUSHCLUSTER_STOP_DELAY_MS',
    'After SIGTERM it serves on this long, while Services take the pod out of their endpoints.',
    { fallback: 3000, min: 0, max: 60_000 },
  ),
} as const;
