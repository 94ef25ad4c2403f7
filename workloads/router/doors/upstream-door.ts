// What handlers of the upstream role ask over the links they open to a router: a push in the name of the app (echo), or what a client may
// ask, in the name of the device whose message it was (group chat). The link key is their credential. role.ts calls it.
import type { Command, Reply } from '../../protocol/link.ts';
import { answerClient, replyOf } from './client-door.ts';
import type { ClientDoorOptions } from './client-door.ts';

/** A command of the upstream role → its reply. Never rejects. */
export async function answerUpstream(options: ClientDoorOptions, command: Command): Promise<Reply> {
  const { seq, op, account, device, body: bytes } = command;
  if (account !== '' || device !== '') return await answerClient(options, command);
  const app = command.app === '' ? null : options.authorizer.app(command.app);
  if (op !== 'push')
    return replyOf(seq, 403, { error: { code: 'forbidden', message: 'op: expected push, or a client to ask for' } });
  if (app === null)
    return replyOf(seq, 404, { error: { code: 'app-unknown', message: 'expected an app of this cluster' } });
  const { status, body } = await options.commands.run({ app, op, bytes, origin: null, log: options.log });
  return replyOf(seq, status, body);
}
