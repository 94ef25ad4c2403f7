// The config source of a cluster: one ConfigMap by name, listed and then watched, so that a change is here within a second (a mounted one lags
// by a minute). Needs get, list and watch on configmaps, which may be limited to the names. Importing the client costs some 80 MB: registry
// and router load this file only where it is used, gateways never.
import { CoreV1Api, KubeConfig, Watch } from '@kubernetes/client-node';
import type { V1ConfigMap } from '@kubernetes/client-node';
import type { Clock } from './clock.ts';
import type { ConfigSource } from './config-source.ts';
import type { Log } from './log.ts';

/** A watch ends after this and the ConfigMap is listed anew, in case an event was lost on the way. */
const RESYNC_MS = 240_000;
/** Without a sign for so long after that the connection is dead. */
const SILENT_MS = RESYNC_MS + 15_000;
const BACKOFF_START_MS = 500;
const BACKOFF_MAX_MS = 15_000;

export interface KubernetesConfigOptions {
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** Default: the service account of the pod, or the KUBECONFIG. */
  readonly kubeConfig?: KubeConfig;
}

/** Opens without asking the API server anything; each watch starts its own supervised loop. */
export function openKubernetesConfig(options: KubernetesConfigOptions): ConfigSource {
  const kube = options.kubeConfig ?? fromSurroundings();
  return {
    watch(configMap, key, onText) {
      const watched = new WatchedConfigMap(options, kube, { configMap, key, onText });
      watched.start();
      return () => watched.stop();
    },
  };
}

function fromSurroundings(): KubeConfig {
  const kube = new KubeConfig();
  kube.loadFromDefault();
  return kube;
}

interface Wanted {
  readonly configMap: string;
  readonly key: string;
  readonly onText: (text: string) => void;
}

class WatchedConfigMap {
  readonly #options: KubernetesConfigOptions;
  readonly #kube: KubeConfig;
  readonly #wanted: Wanted;
  #last: string | null = null;
  #failures = 0;
  #stopped = false;
  #cancel = (): void => {};

  constructor(options: KubernetesConfigOptions, kube: KubeConfig, wanted: Wanted) {
    this.#options = options;
    this.#kube = kube;
    this.#wanted = wanted;
  }

  start(): void {
    this.#round()
      .then(
        () => this.#again(this.#options.random() * BACKOFF_START_MS),
        (error: unknown) => {
          const most = Math.min(BACKOFF_MAX_MS, BACKOFF_START_MS * 2 ** Math.min(this.#failures++, 10));
          const waitMs = Math.floor((most * (1 + this.#options.random())) / 2);
          if (!this.#stopped)
            this.#options.log.warn(
              { configMap: this.#wanted.configMap, problem: String(error), waitMs },
              'config map not watched; again later',
            );
          this.#again(waitMs);
        },
      )
      .catch((error: unknown) => this.#options.log.error({ err: error }, 'config watch ended'));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #again(waitMs: number): void {
    if (!this.#stopped) this.#cancel = this.#options.clock.after(waitMs, () => this.start());
  }

  /** Lists, then watches until the watch ends. Rejects when either failed. */
  async #round(): Promise<void> {
    const { namespace } = this.#options;
    const fieldSelector = `metadata.name=${this.#wanted.configMap}`;
    const list = await this.#kube.makeApiClient(CoreV1Api).listNamespacedConfigMap({ namespace, fieldSelector });
    if (this.#stopped) return;
    this.#failures = 0;
    list.items.forEach((item) => this.#take(item));
    const resourceVersion = list.metadata?.resourceVersion;
    await this.#watch(`/api/v1/namespaces/${namespace}/configmaps`, {
      fieldSelector,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.ceil(RESYNC_MS / 1000),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    });
  }

  async #watch(path: string, query: Record<string, string | number | boolean>): Promise<void> {
    // Its own limit of 30 s of silence would end every quiet watch; it is settable at run time only.
    const watch = new Watch(this.#kube);
    Reflect.set(watch, 'requestTimeoutMs', SILENT_MS);
    const ended = Promise.withResolvers<void>();
    let gone = false;
    const controller = await watch.watch(
      path,
      query,
      (type: string, object: V1ConfigMap) => {
        if (type === 'ADDED' || type === 'MODIFIED') this.#take(object);
        else if (type === 'ERROR') gone = true; // 410: too old; listing anew puts it right
        if (gone) controller.abort();
      },
      (error: unknown) => {
        if (error instanceof Error && !gone && !this.#stopped) ended.reject(error);
        else ended.resolve();
      },
    );
    if (this.#stopped) controller.abort();
    this.#cancel = () => controller.abort();
    await ended.promise;
  }

  /** A ConfigMap that was deleted, or a key that is missing, changes nothing: the text before stays. */
  #take(object: V1ConfigMap): void {
    const text = object.data?.[this.#wanted.key];
    if (this.#stopped || object.metadata?.name !== this.#wanted.configMap) return;
    if (text === undefined || text === this.#last) return;
    this.#last = text;
    try {
      this.#wanted.onText(text);
    } catch (error) {
      this.#options.log.error({ err: error, configMap: this.#wanted.configMap }, 'config text was not taken');
    }
  }
}
