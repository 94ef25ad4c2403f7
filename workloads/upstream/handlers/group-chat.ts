// group-chat: a message {group, body} goes to the group by a router, in the name of the device that sent it: whether the app allows it and
// the account is a member is the router's to say, as for a client that sends by itself. The key makes it once.
import { nameOfMessage } from '../claims.ts';
import type { RouterLink } from '../router-link.ts';
import { outcomeOf } from './command-outcome.ts';
import type { UpstreamHandler } from './handler.ts';

export function openGroupChat(router: Pick<RouterLink, 'ask'>, concurrency: number): UpstreamHandler {
  return {
    batchMax: 1,
    concurrency,
    async handle([message]) {
      const { app, account, device, body } = message!;
      const chat = parseChat(body);
      if (chat === null) return [{ kind: 'rejected', reason: 'group-chat: expected a body {"group": "…", "body": …}' }];
      const send = { key: nameOfMessage(message!), to: { group: chat.group }, body: chat.body };
      return [outcomeOf(await router.ask({ op: 'send', app, account, device, body: send }))];
    },
    close: () => Promise.resolve(),
  };
}

function parseChat(value: unknown): { readonly group: string; readonly body: unknown } | null {
  if (typeof value !== 'object' || value === null) return null;
  const { group, body } = value as Record<string, unknown>;
  return typeof group === 'string' && body !== undefined ? { group, body } : null;
}
