// One process of test devices on a stage, with whatever behaviour a scenario gives them; its log is compared by the scenario itself.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FleetOptions } from '../fleet/clients.ts';
import { spawnFleet } from '../fleet/spawned.ts';
import type { SpawnedFleet } from '../fleet/spawned.ts';
import type { Stage } from './stage.ts';

export interface OneFleet extends SpawnedFleet {
  readonly logs: string;
}

/** Starts the devices `dev-<prefix>0` … and waits until all are live and hold their topics. */
export async function startOneFleet(
  stage: Stage,
  options: Partial<FleetOptions> & Pick<FleetOptions, 'prefix' | 'count'>,
): Promise<OneFleet> {
  const logs = options.logs ?? mkdtempSync(join(tmpdir(), 'pushcluster-fleet-'));
  const fleet = await spawnFleet({
    registryUrl: stage.registryUrl,
    app: stage.app.name,
    privateJwk: stage.app.privateJwk,
    topics: [],
    first: 0,
    ...options,
    logs,
  });
  stage.running.add(fleet.pid);
  await fleet.ready(90_000);
  return {
    ...fleet,
    logs,
    stop: async () => {
      stage.running.delete(fleet.pid);
      return await fleet.stop();
    },
  };
}
