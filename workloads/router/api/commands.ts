// The commands of the API, by name: the one table behind all doors. HTTP (api.ts), the TCP door and clients at gateways give a command's
// name and its input as JSON and get what HTTP would answer. A client is its origin: it may do two of them, within what its app allows.
import type { AppDefinition } from '../../protocol/apps.ts';
import { ERRORS, RefusedError } from '../../protocol/codes.ts';
import { describeError } from '../../runtime/http.ts';
import type { Log } from '../../runtime/log.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import { parseExactJson } from './exact-json.ts';
import type { Origin } from './request-content.ts';

export interface CommandAsk {
  readonly app: AppDefinition;
  /** JSON, parsed by parseExactJson. */
  readonly input: unknown;
  /** The client that asks; null: the business. */
  readonly origin: Origin | null;
  /** The Idempotency-Key header of an HTTP request. */
  readonly headerKey: string | null;
  readonly log: Log;
}
export interface CommandAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
/** Rejects with RefusedError, or as the store does. */
export type CommandHandler = (ask: CommandAsk) => Promise<CommandAnswer>;
export type CommandTable = Readonly<Record<string, CommandHandler>>;

/** What a link or a socket brings. */
export interface CommandBytes {
  readonly app: AppDefinition;
  readonly op: string;
  /** JSON in UTF-8; empty: no input. */
  readonly bytes: Uint8Array;
  readonly origin: Origin | null;
  readonly log: Log;
}

const STORE_RETRY_MS = 1000;

export class Commands {
  readonly #business: CommandTable;
  readonly #client: CommandTable;
  /** @param tables `client`: what a client may ask; `business`: everything else's */
  constructor(tables: { readonly business: CommandTable; readonly client: CommandTable }) {
    this.#business = tables.business;
    this.#client = tables.client;
  }

  /** Names of the business's commands. */
  get ops(): readonly string[] {
    return Object.keys(this.#business);
  }

  /** One command. Rejects with RefusedError for what is expected; anything else is a bug of ours. */
  async ask(op: string, ask: CommandAsk): Promise<CommandAnswer> {
    const table = ask.origin === null ? this.#business : this.#client;
    const handler = Object.hasOwn(table, op) ? table[op] : undefined;
    if (handler === undefined) {
      if (ask.origin !== null && Object.hasOwn(this.#business, op))
        throw new RefusedError('forbidden', `op: clients may not ask for ${op}`, { field: 'op' });
      throw new RefusedError('not-found', `op: expected one of ${Object.keys(table).join(', ')}`, { field: 'op' });
    }
    try {
      return await handler(ask);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      throw new RefusedError('store-unavailable', 'the store did not answer', {
        retryAfterMs: STORE_RETRY_MS,
        cause: error,
      });
    }
  }

  /** One command of a link or a socket. Never rejects: refusals and bugs are answers. */
  async run({ op, bytes, ...from }: CommandBytes): Promise<{ readonly status: number; readonly body: unknown }> {
    try {
      const { status, body } = await this.ask(op, { ...from, input: parseInput(bytes), headerKey: null });
      return { status, body };
    } catch (error) {
      if (error instanceof RefusedError)
        return { status: ERRORS[error.code].status, body: { error: describeError(error) } };
      from.log.error({ err: error, op }, 'a command failed by a bug');
      return {
        status: ERRORS.internal.status,
        body: { error: { code: 'internal', message: 'an error of the server' } },
      };
    }
  }
}

function parseInput(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return {};
  try {
    return parseExactJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new RefusedError('invalid-request', 'body: expected JSON in UTF-8', { field: 'body', cause: error });
  }
}
