// What clients ask by way of their gateway: it holds them, so it says who they are, and sends their frames as commands on the link this
// router opened to it. The table of commands (commands.ts) decides what a client may; the reply goes back on the same link.
import type { Command, Reply } from '../../protocol/link.ts';
import type { Log } from '../../runtime/log.ts';
import type { Authorizer } from '../api/authorize.ts';
import type { Commands } from '../api/commands.ts';

export interface ClientDoorOptions {
  readonly authorizer: Pick<Authorizer, 'app'>;
  readonly commands: Pick<Commands, 'run'>;
  readonly log: Log;
}

/** A gateway's command for one of its clients → its reply. Never rejects. */
export async function answerClient(options: ClientDoorOptions, command: Command): Promise<Reply> {
  const { seq, op, account, device, body: bytes } = command;
  const app = command.app === '' ? null : options.authorizer.app(command.app);
  // Without a client it would be the business's, which has a credential of its own.
  if (account === '' || device === '')
    return replyOf(seq, 400, {
      error: { code: 'invalid-request', message: 'expected account and device of a client' },
    });
  if (app === null)
    return replyOf(seq, 404, { error: { code: 'app-unknown', message: 'expected an app of this cluster' } });
  const { status, body } = await options.commands.run({
    app,
    op,
    bytes,
    origin: { account, device },
    log: options.log,
  });
  return replyOf(seq, status, body);
}

/** An answer of the API as a frame. */
export function replyOf(seq: number, status: number, body: unknown): Reply {
  return { kind: 'reply', seq, status, body: Buffer.from(body === undefined ? '' : JSON.stringify(body)) };
}
