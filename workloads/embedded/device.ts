// `npm run device`: one more device of a running `npm start`, which prints the line that starts it. It prints what it is given and sends
// what is typed, and is the shortest application of the SDK: an app of your own has its server sign the credential instead.
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { openClient } from '../client/client.ts';
import type { Client } from '../client/client.ts';
import { openDemoAccess, signDeviceCredential } from './demo-access.ts';
import { FORMS, parseTyped } from './typed.ts';
import type { Typed } from './typed.ts';

interface Flags {
  readonly access: string;
  readonly registry: string;
  readonly app: string;
}

async function run(account: string, device: string, { access: path, registry, app }: Flags): Promise<void> {
  if (!existsSync(path))
    throw new Error(`no file ${path}. Remedy: take the line that npm start printed, while it runs`);
  const access = openDemoAccess(path);
  const client = await openClient({
    registryUrl: registry,
    app,
    account,
    device,
    credential: () => signDeviceCredential(access, { app, account, device }),
    onMessage: ({ stream, body, attributes }) =>
      console.log(
        `got ${JSON.stringify(body)} on ${stream}${attributes === null ? '' : ` ${JSON.stringify(attributes)}`}`,
      ),
    onState: ({ kind, gateway, problem }) =>
      console.log(`${kind}${gateway === null ? '' : ` at ${gateway}`}${problem === null ? '' : `: ${problem}`}`),
    onOutgoing: ({ waiting, putOff }) => {
      if (putOff === null) return;
      const more = putOff.code === 'upstream-unavailable' ? ' (crds/examples/messaging.yaml has a bus)' : '';
      console.log(`not taken yet, so kept and sent again: ${putOff.problem}${more}; ${waiting} waiting`);
    },
    onError: (error) => console.log(String(error)),
  });
  console.log(`${device} of ${account}. Type\n  ${FORMS.join('\n  ')}`);
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => void obey(client, line));
  process.on('SIGINT', () => lines.close());
  await new Promise<void>((resolve) => lines.on('close', resolve));
  await client.close();
}

/** Prints how it ended; never rejects. */
async function obey(client: Client, line: string): Promise<void> {
  const typed = parseTyped(line);
  if (typed === null) {
    if (line.trim() !== '') console.log(`expected one of\n  ${FORMS.join('\n  ')}`);
    return;
  }
  try {
    console.log(await send(client, typed));
  } catch (error) {
    console.log(`refused: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function send(client: Client, typed: Typed): Promise<string> {
  switch (typed.kind) {
    case 'send':
      return `stored as ${await client.send(typed.to, typed.body)}`;
    case 'upstream':
      await client.send(typed.name, typed.body);
      return 'taken: the bus has it';
    case 'subscribe':
      await client.subscribe(typed.topic);
      return `hears ${typed.topic}`;
    case 'create':
      await client.groups.create(typed.group, typed.members);
      return `made ${typed.group}`;
  }
}

const program = new Command('npm run device --')
  .description('One more device of a running npm start: prints what it is given, sends what you type.')
  .argument('<account>', 'whose device it is')
  .argument('<device>', 'its name')
  .requiredOption('--access <file>', 'what signs its credential: npm start prints where it is')
  .option('--registry <url>', 'the registry', 'http://127.0.0.1:8082')
  .option('--app <name>', 'the PushApp', 'shop')
  .action(async (account: string, device: string, flags: Flags) => {
    try {
      await run(account, device, flags);
    } catch (error) {
      console.error(error instanceof Error ? error.message : String(error));
      process.exitCode = 1;
    }
  });
await program.parseAsync();
