// The upstream role's process in a pod: settings from the environment, then the role until SIGTERM.
import { readFileSync } from 'node:fs';
import { openBusOf } from '../bus/open.ts';
import { systemClock } from '../runtime/clock.ts';
import { openKeys } from '../runtime/credentials.ts';
import { openLog } from '../runtime/log.ts';
import { stopOnSignals } from '../runtime/stop-signals.ts';
import { InvalidSettingsError, parseSettings } from '../settings/setting.ts';
import { upstreamSettings } from '../settings/upstream.ts';
import { openStoreOf } from '../store/open.ts';
import { startUpstream } from './role.ts';

const settings = parseSettings(upstreamSettings, process.env, (path) => readFileSync(path, 'utf8'));
const log = openLog({ role: 'upstream', level: settings.logLevel });
const clock = systemClock;
const bus = await openBusOf(settings, { clock, log, random: Math.random });
if (bus === null)
  throw new InvalidSettingsError(['PUSHCLUSTER_BUS: expected kafka://host:port in this role, got none']);
const keys = openKeys(settings.keysDir, clock, log);
const store = await openStoreOf(settings, { clock, log });
const upstream = await startUpstream(settings, { store, bus, keys, clock, log, random: Math.random });

stopOnSignals({
  log,
  delayMs: settings.stopDelayMs,
  stop: async () => {
    await upstream.stop();
    await bus.close();
    keys.stop();
    await store.close();
  },
});
