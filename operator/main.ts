// The operator process: settings, credentials, Lease; while it leads, the controller runs. It ends (and its pod starts it anew) when
// it no longer leads, so that two never write.
import { parseArgs } from 'node:util';
import { readFileSync } from 'node:fs';
import { systemClock } from '../workloads/runtime/clock.ts';
import { openLog } from '../workloads/runtime/log.ts';
import type { Log } from '../workloads/runtime/log.ts';
import { operatorSettings } from '../workloads/settings/operator.ts';
import { InvalidSettingsError, parseSettings } from '../workloads/settings/setting.ts';
import type { SettingsOf } from '../workloads/settings/setting.ts';
import { startController } from './controller.ts';
import type { Controller } from './controller.ts';
import { openGatewayAdmin } from './gateway-admin.ts';
import { startHealth } from './health.ts';
import { systemKeyMaker } from './key-maker.ts';
import { loadKubeConfig, openKubeClient } from './kube/client.ts';
import { startLeader } from './leader.ts';
import { openOperatorMetrics } from './metrics.ts';
import { openPrometheus } from './prometheus.ts';

type Settings = SettingsOf<typeof operatorSettings>;

function help(): string {
  const rows = Object.values(operatorSettings).map(
    (setting) => `  ${setting.env}\n      ${setting.about} ${setting.expected}; default ${setting.fallback ?? 'none'}`,
  );
  return `Usage: node operator/main.ts\n\nRuns the PushCluster operator against the cluster of KUBECONFIG, or the one it runs in.\n\nSettings (environment):\n${rows.join('\n')}\n`;
}

async function run(settings: Settings, log: Log): Promise<void> {
  const clock = systemClock;
  const config = loadKubeConfig();
  const metrics = openOperatorMetrics();
  let controller: Controller | null = null;
  const { promise: ended, resolve: end } = Promise.withResolvers<{ exitCode: number; why: string }>();
  const lead = (): void => {
    log.info({ identity: settings.identity }, 'leading');
    metrics.setLeading(true);
    controller = startController({
      kube: openKubeClient({ config, timeoutMs: settings.kubeTimeoutMs }),
      admin: openGatewayAdmin({ timeoutMs: settings.gatewayTimeoutMs }),
      prometheus: openPrometheus({ timeoutMs: settings.gatewayTimeoutMs }),
      clock,
      log,
      keyMaker: systemKeyMaker,
      ...(settings.watchNamespace === '' ? {} : { namespace: settings.watchNamespace }),
      watchNodes: settings.watchNodes === 'yes',
      workersMax: settings.reconcilesMax,
      resyncMs: settings.resyncMs,
      activeMs: settings.activeMs,
      metrics,
    });
  };
  const leader = startLeader({
    kube: openKubeClient({ config, timeoutMs: Math.floor(settings.leaseMs / 3) }),
    clock,
    log,
    namespace: settings.namespace,
    name: settings.leaseName,
    identity: settings.identity,
    leaseMs: settings.leaseMs,
    random: Math.random,
    onLead: lead,
    onLost: (why) => end({ exitCode: 1, why: `leadership lost: ${why}` }),
  });
  const health = await startHealth({ bind: settings.bind, port: settings.adminPort, metrics, isReady: () => true });
  log.info({ port: health.port }, 'operator started');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end({ exitCode: 0, why: signal }));
  const { exitCode, why } = await ended;
  log.info({ why }, 'operator ends');
  process.exitCode = exitCode;
  // A leader that lost its Lease must write nothing more: it does not wait for what is under way.
  if (exitCode !== 0) process.exit(exitCode);
  await (controller as Controller | null)?.stop();
  await leader.stop();
  await health.stop();
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) {
    process.stdout.write(help());
    return;
  }
  let settings: Settings;
  try {
    settings = parseSettings(operatorSettings, process.env, (path) => readFileSync(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof InvalidSettingsError)) throw error;
    process.stderr.write(`${error.problems.join('\n')}\n`);
    process.exitCode = 2;
    return;
  }
  await run(settings, openLog({ role: 'operator', level: settings.logLevel }));
}

await main();
