// Starts a role in this process from a pod's environment, the way its own main.ts does in a pod: parse settings, open keys, store
// and bus, start. kubelet.ts calls it. Each start has handles of its own, and what it opened is closed with it.
import type { Bus } from '../bus/port.ts';
import { startDrainer } from '../drainer/role.ts';
import { startGateway } from '../gateway/role.ts';
import { startRegistry } from '../registry/role.ts';
import { startRouter } from '../router/role.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import { openKeys } from '../runtime/credentials.ts';
import type { Log } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import { startUpstream } from '../upstream/role.ts';
import { commonSettings } from '../settings/common.ts';
import { drainerSettings } from '../settings/drainer.ts';
import { gatewaySettings } from '../settings/gateway.ts';
import { registrySettings } from '../settings/registry.ts';
import { routerSettings } from '../settings/router.ts';
import { upstreamSettings } from '../settings/upstream.ts';
import { parseSettings } from '../settings/setting.ts';
import { openStoreOf } from '../store/open.ts';
import type { RoleName } from './pod-spec.ts';

export interface RoleSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly config: ConfigSource;
  /** The bus of this process; it stands in for the Kafka that the manifest names. */
  readonly bus: Bus;
  readonly readFile: (path: string) => string;
}

/** Environment of a pod → running role. Rejects with the role's own error (wrong settings, port taken, store unreachable). */
export async function startRole(
  role: RoleName,
  env: Readonly<Record<string, string>>,
  surroundings: RoleSurroundings,
): Promise<RunningRole> {
  const { clock, log, config, readFile } = surroundings;
  const common = parseSettings(commonSettings, env, readFile);
  const bus = common.bus === 'none' ? null : surroundings.bus;
  const keys = openKeys(common.keysDir, clock, log);
  const store = await openStoreOf(common, { clock, log });
  const shared = { store, keys, clock, log, random: Math.random };
  const start = (): Promise<RunningRole> => {
    switch (role) {
      case 'gateway':
        return startGateway(parseSettings(gatewaySettings, env, readFile), { ...shared, bus });
      case 'registry':
        return startRegistry(parseSettings(registrySettings, env, readFile), { ...shared, config });
      case 'drainer':
        return startDrainer(parseSettings(drainerSettings, env, readFile), shared);
      case 'upstream':
        if (bus === null) throw new RangeError('upstream: expected a bus, got none');
        return startUpstream(parseSettings(upstreamSettings, env, readFile), { ...shared, bus });
      case 'router':
        return startRouter(parseSettings(routerSettings, env, readFile), { ...shared, config, bus });
    }
  };
  const close = async (): Promise<void> => {
    keys.stop();
    await store.close();
  };
  try {
    const running = await start();
    return {
      ports: running.ports,
      stop: async () => {
        await running.stop();
        await close();
      },
      kill: () => {
        running.kill();
        close().catch((error: unknown) => log.warn({ err: error }, 'closing after a kill failed'));
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
