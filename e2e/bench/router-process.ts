// The router as a process for benches: like its main.ts, but the documents come from files, since there is no Kubernetes to watch. Started
// by stage.ts from dist/ with the router's own settings and PUSHCLUSTER_BENCH_DOCUMENTS, a folder with one file for each key.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startRouter } from '../../workloads/router/role.ts';
import { systemClock } from '../../workloads/runtime/clock.ts';
import { openKeys } from '../../workloads/runtime/credentials.ts';
import { paceHeapGrowth } from '../../workloads/runtime/heap-growth.ts';
import { openLog } from '../../workloads/runtime/log.ts';
import { routerSettings } from '../../workloads/settings/router.ts';
import { parseSettings } from '../../workloads/settings/setting.ts';
import { openStoreOf } from '../../workloads/store/open.ts';

const settings = parseSettings(routerSettings, process.env, (path) => readFileSync(path, 'utf8'));
const documents = process.env['PUSHCLUSTER_BENCH_DOCUMENTS'] ?? '';
const log = openLog({ role: 'router', level: settings.logLevel });
const clock = systemClock;
const keys = openKeys(settings.keysDir, clock, log);
const store = await openStoreOf(settings, { clock, log });
const config = {
  watch(_configMap: string, key: string, onText: (text: string) => void): () => void {
    onText(readFileSync(join(documents, key), 'utf8'));
    return () => {};
  },
};
paceHeapGrowth(clock);
const role = await startRouter(settings, { store, keys, config, clock, log, random: Math.random, bus: null });
log.info({ ports: role.ports }, 'router started');

process.once('SIGTERM', () => {
  void role
    .stop()
    .then(() => store.close())
    .finally(() => process.exit(0));
});
