// The config source of embedded roles: ConfigMaps of the in-memory API server, read through the kube port's watch as a cluster's
// are. Roles get it as a parameter (runtime/config-source.ts is the port).
import { KINDS } from '../../operator/kube/port.ts';
import type { Kube, KubeObject } from '../../operator/kube/port.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import type { Log } from '../runtime/log.ts';

/** Watches ConfigMaps of one namespace of `kube`. */
export function openEmbeddedConfig(kube: Kube, namespace: string, log: Log): ConfigSource {
  return {
    watch(configMap, key, onText) {
      let last: string | null = null;
      let stopped = false;
      let stop = (): void => {};
      const take = (object: KubeObject): void => {
        if (object.metadata.name !== configMap) return;
        const text = (object['data'] as Readonly<Record<string, string>> | undefined)?.[key];
        if (stopped || text === undefined || text === last) return;
        last = text;
        onText(text);
      };
      const start = async (): Promise<void> => {
        const { items, resourceVersion } = await kube.list(KINDS.configMap, { namespace });
        if (stopped) return;
        items.forEach(take);
        const watch = kube.watch(KINDS.configMap, { namespace, resourceVersion }, (event) => {
          if (event.type === 'added' || event.type === 'modified') take(event.object);
        });
        stop = () => watch.stop();
      };
      start().catch((error: unknown) => log.error({ err: error, configMap }, 'embedded config watch failed'));
      return () => {
        stopped = true;
        stop();
      };
    },
  };
}
