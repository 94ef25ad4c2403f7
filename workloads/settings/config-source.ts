// Where registry and router watch the routing and apps documents.
import { choice, text } from './setting.ts';

export const configSettings = {
  configSource: choice('PUSHCLUSTER_CONFIG_SOURCE', 'kubernetes: watch ConfigMaps; embedded: given by the process.', {
    values: ['kubernetes', 'embedded'],
    fallback: 'kubernetes',
  }),
  namespace: text('PUSHCLUSTER_NAMESPACE', 'Namespace of the ConfigMaps.', 'default'),
  routingConfigMap: text('PUSHCLUSTER_ROUTING_CONFIGMAP', 'ConfigMap with the routing document.', ''),
  appsConfigMap: text('PUSHCLUSTER_APPS_CONFIGMAP', 'ConfigMap with the apps document.', ''),
} as const;
