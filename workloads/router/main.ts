// The router's process in a pod: settings from the environment, then the role until SIGTERM.
import { readFileSync } from 'node:fs';
import { openBusOf } from '../bus/open.ts';
import { systemClock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import { openKeys } from '../runtime/credentials.ts';
import { paceHeapGrowth } from '../runtime/heap-growth.ts';
import { openLog } from '../runtime/log.ts';
import type { Log } from '../runtime/log.ts';
import { stopOnSignals } from '../runtime/stop-signals.ts';
import { routerSettings } from '../settings/router.ts';
import { parseSettings } from '../settings/setting.ts';
import { openStoreOf } from '../store/open.ts';
import { startRouter } from './role.ts';
import type { RouterSettings } from './role.ts';

const settings = parseSettings(routerSettings, process.env, (path) => readFileSync(path, 'utf8'));
const log = openLog({ role: 'router', level: settings.logLevel });
const clock = systemClock;
const keys = openKeys(settings.keysDir, clock, log);
const store = await openStoreOf(settings, { clock, log });
const bus = await openBusOf(settings, { clock, log, random: Math.random });
const config = await openConfig(settings, log);
const stopPacing = paceHeapGrowth(clock);
const router = await startRouter(settings, { store, keys, clock, log, random: Math.random, config, bus });

stopOnSignals({
  log,
  delayMs: settings.stopDelayMs,
  stop: async () => {
    await router.stop();
    stopPacing();
    keys.stop();
    await bus?.close();
    await store.close();
  },
});

/** The Kubernetes client costs some 80 MB, so it is loaded only where it is used. */
async function openConfig(from: RouterSettings, roleLog: Log): Promise<ConfigSource> {
  if (from.configSource !== 'kubernetes')
    throw new RangeError(
      `PUSHCLUSTER_CONFIG_SOURCE: expected kubernetes in a process of its own, got ${from.configSource}`,
    );
  const { openKubernetesConfig } = await import('../runtime/config-source-kubernetes.ts');
  return openKubernetesConfig({ namespace: from.namespace, clock, log: roleLog, random: Math.random });
}
