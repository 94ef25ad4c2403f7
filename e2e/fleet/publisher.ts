// A process that publishes: `node e2e/fleet/publisher.ts '<PublishOptions as JSON>'`. Commands on standard input (control.ts):
//   {"id":1,"do":"counts"} · {"id":2,"do":"wait"} (until `count` publications have an outcome) · {"id":3,"do":"stop"}
// Scenarios start it with spawnPublisher (spawned.ts).
import { serveCommands } from './control.ts';
import type { Command } from './control.ts';
import { startPublisher } from './publish.ts';
import type { PublishOptions } from './publish.ts';

const publisher = startPublisher(JSON.parse(process.argv[2] ?? '{}') as PublishOptions);

async function handle(command: Command): Promise<unknown> {
  if (command.do === 'wait') await publisher.done;
  else if (command.do !== 'counts') throw new Error(`expected counts, wait or stop, got ${command.do}`);
  return publisher.counts();
}

await serveCommands(handle, () => publisher.finish());
