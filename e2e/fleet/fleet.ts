// A process with many SDK clients: `node e2e/fleet/fleet.ts '<FleetOptions as JSON>'`. Commands on standard input (control.ts):
//   {"id":1,"do":"counts"} · {"id":2,"do":"cut","count":10} · {"id":3,"do":"subscribe","topics":["news"]} · {"id":4,"do":"flush"} · {"id":5,"do":"stop"}
//   crash (as cut) · group {op, group, count} · members {group, after} · send {…SendOptions} · upstream {…UpstreamOptions}: both answer when all is taken
// `privateJwkFile` may stand for `privateJwk`. Scenarios start it with spawnFleet (spawned.ts).
import { readFileSync } from 'node:fs';
import { startFleet } from './clients.ts';
import type { FleetOptions, GroupOp } from './clients.ts';
import type { Jwk } from './app-token.ts';
import { serveCommands } from './control.ts';
import type { Command } from './control.ts';
import type { TopicWish } from './device.ts';
import type { SendOptions, UpstreamOptions } from './talk.ts';

const given = JSON.parse(process.argv[2] ?? '{}') as Omit<FleetOptions, 'privateJwk'> & {
  privateJwk?: Jwk;
  privateJwkFile?: string;
};
const privateJwk = given.privateJwk ?? (JSON.parse(readFileSync(given.privateJwkFile ?? '', 'utf8')) as Jwk);
const fleet = await startFleet({ ...given, privateJwk });

function handle(command: Command): unknown {
  switch (command.do) {
    case 'counts':
      return fleet.counts();
    case 'cut':
      return fleet.cut(Number(command['count']));
    case 'crash':
      return fleet.crash(Number(command['count']));
    case 'subscribe':
      return fleet.subscribe(command['topics'] as (string | TopicWish)[]);
    case 'group':
      return fleet.group(command['op'] as GroupOp, String(command['group']), command['count'] as number | undefined);
    case 'members':
      return fleet.members(String(command['group']), command['after'] as string | undefined);
    case 'send':
      return fleet.send(command as unknown as SendOptions);
    case 'upstream':
      return fleet.upstream(command as unknown as UpstreamOptions);
    case 'flush':
      return fleet.flush();
    default:
      throw new Error(`expected a command of the list above, got ${command.do}`);
  }
}

await serveCommands(handle, async () => {
  const counts = fleet.counts();
  await fleet.stop();
  return counts;
});
