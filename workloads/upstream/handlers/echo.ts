// echo: sends each message back to the device it came from, as a durable push by a router. The router's idempotency key makes it once.
import { nameOfMessage } from '../claims.ts';
import type { RouterLink } from '../router-link.ts';
import { outcomeOf } from './command-outcome.ts';
import type { UpstreamHandler } from './handler.ts';

export function openEcho(router: Pick<RouterLink, 'ask'>, concurrency: number): UpstreamHandler {
  return {
    batchMax: 1,
    concurrency,
    async handle([message]) {
      const { app, device, kind, key, body } = message!;
      const push = {
        target: { device },
        body,
        attributes: { type: 'echo', fields: { kind, key } },
        idempotencyKey: nameOfMessage(message!),
      };
      return [outcomeOf(await router.ask({ op: 'push', app, account: '', device: '', body: push }))];
    },
    close: () => Promise.resolve(),
  };
}
