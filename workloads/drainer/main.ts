// The drainer's process in a pod: settings from the environment, then the role until SIGTERM.
import { readFileSync } from 'node:fs';
import { systemClock } from '../runtime/clock.ts';
import { openKeys } from '../runtime/credentials.ts';
import { openLog } from '../runtime/log.ts';
import { stopOnSignals } from '../runtime/stop-signals.ts';
import { drainerSettings } from '../settings/drainer.ts';
import { parseSettings } from '../settings/setting.ts';
import { openStoreOf } from '../store/open.ts';
import { startDrainer } from './role.ts';

const settings = parseSettings(drainerSettings, process.env, (path) => readFileSync(path, 'utf8'));
const log = openLog({ role: 'drainer', level: settings.logLevel });
const clock = systemClock;
const keys = openKeys(settings.keysDir, clock, log);
const store = await openStoreOf(settings, { clock, log });
const drainer = await startDrainer(settings, { store, keys, clock, log, random: Math.random });
log.info({ ports: drainer.ports }, 'drainer started');

// No delay: nobody connects to it, and gateways ask another one as soon as its links are gone.
stopOnSignals({
  log,
  delayMs: 0,
  stop: async () => {
    await drainer.stop();
    keys.stop();
    await store.close();
  },
});
