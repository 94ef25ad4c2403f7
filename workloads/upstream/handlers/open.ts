// From rules to handlers: one for each rule, in their order; the database is opened once for all rules that name it.
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Poster } from '../../runtime/signed-post.ts';
import type { Claims } from '../claims.ts';
import { Lane } from '../lane.ts';
import type { RouterLink } from '../router-link.ts';
import type { Rule } from '../rules.ts';
import { openDatabase } from './database.ts';
import { openEcho } from './echo.ts';
import { openGroupChat } from './group-chat.ts';
import type { UpstreamHandler } from './handler.ts';
import { openWebhook } from './webhook.ts';

export interface HandlerSurroundings {
  readonly databaseUrl: string;
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly router: Pick<RouterLink, 'ask'>;
  readonly claims: Claims;
  readonly post: Poster;
  readonly clock: Clock;
  readonly log: Log;
}

/** Throws DatabaseAddressError where a rule names the database and the setting none. */
export function openLanes(rules: readonly Rule[], around: HandlerSurroundings): readonly Lane[] {
  let database: Lane | null = null;
  return rules.map((rule) => {
    if (rule.type !== 'database') return new Lane(openHandler(rule, around));
    database ??= new Lane(openDatabase(around.databaseUrl, around));
    return database;
  });
}

function openHandler(rule: Rule, around: HandlerSurroundings): UpstreamHandler {
  const { router, concurrency, post, claims, timeoutMs } = around;
  switch (rule.type) {
    case 'database':
      return openDatabase(around.databaseUrl, around);
    case 'webhook':
      return openWebhook({ url: rule.url, post, claims, timeoutMs, concurrency });
    case 'echo':
      return openEcho(router, concurrency);
    case 'group-chat':
      return openGroupChat(router, concurrency);
  }
}
