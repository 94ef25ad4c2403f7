// `npm start`: a whole PushCluster in this process from the manifest that kubectl apply takes. Prints the addresses and a curl line
// that pushes; Ctrl-C drains and ends, a second one ends at once. The parts are in embedded.ts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import type { Client } from '../client/client.ts';
import { systemClock } from '../runtime/clock.ts';
import { LOG_LEVELS, openLog } from '../runtime/log.ts';
import type { LogLevel } from '../runtime/log.ts';
import { openDemoDevice } from './demo-device.ts';
import { isReady, openEmbedded } from './embedded.ts';
import type { Embedded } from './embedded.ts';
import { gatewaysOf, readManifest } from './manifest.ts';
import { assertPortsFree } from './ports.ts';
import { describeWelcome } from './welcome.ts';

const QUICKSTART = join(import.meta.dirname, '../../crds/examples/quickstart.yaml');
const READY_TIMEOUT_MS = 60_000;
const DEVICE_TIMEOUT_MS = 10_000;

interface Flags {
  readonly data?: string;
  readonly port: number;
  readonly replicas?: number;
  readonly demo: boolean;
  readonly logLevel: LogLevel;
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}`);
  };
}

function logLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text);
  if (level === undefined) throw new InvalidArgumentError(`expected one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

const program = new Command('npm start --')
  .description(
    'Runs a whole PushCluster in this process: operator and every role, over loopback, with a bus in memory.',
  )
  .argument('[manifest]', 'a PushCluster with its PushApps, as kubectl apply takes it', QUICKSTART)
  .option('--data <dir>', 'keep messages, sessions and keys in this folder; without it they go when this ends')
  .option(
    '--port <base>',
    'router at +1, registry at +2, gateways from +10; 0 picks free ports',
    wholeNumber(0, 65_000),
    8080,
  )
  .option('--replicas <n>', 'gateways, instead of what the manifest says', wholeNumber(1, 64))
  .option('--no-demo', 'without the demo device that prints what it is given')
  .option('--log-level <level>', `log lines on standard error: ${LOG_LEVELS.join(', ')}`, logLevel, 'warn');

/** Waits until the cluster is Ready; says why it is not when the time is over. */
async function untilReady(embedded: Embedded): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const status = await embedded.status();
    if (isReady(status)) return;
    const refused = status?.conditions.find((condition) => condition.type === 'Refused' && condition.status === 'True');
    if (refused !== undefined) throw new Error(`the manifest was refused: ${refused.message}`);
    if (Date.now() > deadline) {
      const why = status?.conditions.find((condition) => condition.type === 'Ready')?.message ?? 'it has no status';
      throw new Error(`not Ready after ${READY_TIMEOUT_MS / 1000} s: ${why}. Remedy: the log above says what failed.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function run(manifestPath: string, flags: Flags): Promise<void> {
  const startedMs = performance.now();
  const manifest = readManifest(readFileSync(manifestPath, 'utf8'));
  for (const name of manifest.ignored) console.log(`left out: ${name} (only PushCluster and PushApp are taken)`);
  await assertPortsFree(flags.port, flags.replicas ?? gatewaysOf(manifest));
  const stopped = stopSignal();
  const embedded = await openEmbedded({
    manifest,
    dataDir: flags.data ?? null,
    portBase: flags.port,
    clock: systemClock,
    log: openLog({ role: 'embedded', level: flags.logLevel, fd: 2 }),
    env: { PUSHCLUSTER_STOP_GRACE_MS: '2000' },
  });
  let device: Client | null = null;
  const welcome = async (): Promise<void> => {
    if (flags.replicas !== undefined) await embedded.scale(flags.replicas);
    await untilReady(embedded);
    if (flags.demo) device = await openDevice(embedded);
    console.log(await describeWelcome(embedded, (performance.now() - startedMs) / 1000));
    await stopped;
  };
  try {
    // Ctrl-C counts from the first moment on, also while this is still starting.
    await Promise.race([stopped, welcome()]);
  } finally {
    console.log('draining …');
    await (device as Client | null)?.close();
    await embedded.stop();
  }
}

/** The demo device, once it is connected (or after some seconds as it is); null when there is nothing to connect to. */
async function openDevice(embedded: Embedded): Promise<Client | null> {
  const [app] = embedded.apps;
  const registryUrl = (await embedded.status())?.registryAddress ?? null;
  if (app === undefined || registryUrl === null) return null;
  const live = Promise.withResolvers<void>();
  const device = await openDemoDevice({
    registryUrl,
    access: embedded.access,
    app,
    print: (line) => console.log(line),
    onLive: live.resolve,
  });
  await Promise.race([live.promise, new Promise((resolve) => setTimeout(resolve, DEVICE_TIMEOUT_MS))]);
  return device;
}

/** Resolves with the first SIGINT or SIGTERM; the second one ends the process. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let signals = 0;
    const onSignal = (): void => {
      if (++signals > 1) process.exit(130);
      resolve();
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}

program.action(async (manifestPath: string, flags: Flags) => {
  try {
    await run(manifestPath, flags);
    process.exit(0);
  } catch (error) {
    console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
});
if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(`expected Node 24, got ${process.versions.node}. Remedy: run it with npm start, which brings Node 24.`);
  process.exit(1);
}
await program.parseAsync();
