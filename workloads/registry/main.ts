// The registry as a process: settings from the environment, SIGTERM and SIGINT end it gracefully.
import { readFileSync } from 'node:fs';
import { systemClock } from '../runtime/clock.ts';
import { openKubernetesConfig } from '../runtime/config-source-kubernetes.ts';
import { openKeys } from '../runtime/credentials.ts';
import { openLog } from '../runtime/log.ts';
import { stopOnSignals } from '../runtime/stop-signals.ts';
import { registrySettings } from '../settings/registry.ts';
import { InvalidSettingsError, parseSettings } from '../settings/setting.ts';
import { openStoreOf } from '../store/open.ts';
import { startRegistry } from './role.ts';

const settings = parseSettings(registrySettings, process.env, (path) => readFileSync(path, 'utf8'));
if (settings.configSource !== 'kubernetes')
  throw new InvalidSettingsError([
    'PUSHCLUSTER_CONFIG_SOURCE: expected kubernetes in a process of its own, got embedded',
  ]);
const log = openLog({ role: 'registry', level: settings.logLevel });
const clock = systemClock;
const keys = openKeys(settings.keysDir, clock, log);
const store = await openStoreOf(settings, { clock, log });
const config = openKubernetesConfig({ namespace: settings.namespace, clock, log, random: Math.random });
const registry = await startRegistry(settings, { store, keys, config, clock, log, random: Math.random });
log.info({ ports: registry.ports }, 'registry started');

stopOnSignals({
  log,
  delayMs: settings.stopDelayMs,
  stop: async () => {
    await registry.stop();
    keys.stop();
    await store.close();
  },
});
