// The gateway as a process: settings from the environment, SIGTERM and SIGINT end it gracefully.
import { readFileSync } from 'node:fs';
import { openBusOf } from '../bus/open.ts';
import { openKeys } from '../runtime/credentials.ts';
import { systemClock } from '../runtime/clock.ts';
import { paceHeapGrowth } from '../runtime/heap-growth.ts';
import { trimHeapWhenQuiet } from '../runtime/heap-trim.ts';
import { openLog } from '../runtime/log.ts';
import { stopOnSignals } from '../runtime/stop-signals.ts';
import { gatewaySettings } from '../settings/gateway.ts';
import { parseSettings } from '../settings/setting.ts';
import { openStoreOf } from '../store/open.ts';
import { startGateway } from './role.ts';

const settings = parseSettings(gatewaySettings, process.env, (path) => readFileSync(path, 'utf8'));
const log = openLog({ role: 'gateway', level: settings.logLevel });
const clock = systemClock;
const keys = openKeys(settings.keysDir, clock, log);
const store = await openStoreOf(settings, { clock, log });
const bus = await openBusOf(settings, { clock, log, random: Math.random });
const role = await startGateway(settings, { store, bus, keys, clock, log, random: Math.random });
log.info({ ports: role.ports }, 'gateway started');
const stopPacing = paceHeapGrowth(clock);
const stopTrimming = trimHeapWhenQuiet({ clock, log });

// No delay: a gateway that stops asks its clients to move, and refuses new ones by saying so.
stopOnSignals({
  log,
  delayMs: 0,
  stop: async () => {
    await role.stop();
    stopPacing();
    stopTrimming();
    keys.stop();
    await bus?.close();
    await store.close();
  },
});
