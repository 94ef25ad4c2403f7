// Commands to a router over a link, for handlers that answer devices or write to groups: the link key is the credential, as it is for
// gateways. One link at a time, to any router with a lease; another one when it falls.
import type { Command } from '../protocol/link.ts';
import { openLink } from '../link/client.ts';
import type { Link } from '../link/client.ts';
import type { SymmetricKey } from '../protocol/credentials.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Store } from '../store/port.ts';
import { HandlerUnavailableError } from './handlers/handler.ts';

export type CommandQuestion = Pick<Command, 'op' | 'app' | 'account' | 'device'> & { readonly body: unknown };
export interface CommandAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface RouterLinkOptions {
  readonly store: Pick<Store, 'roleLeases'>;
  readonly keys: () => readonly SymmetricKey[];
  readonly name: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

interface Asked {
  readonly resolve: (answer: CommandAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class RouterLink {
  readonly #options: RouterLinkOptions;
  #link: Promise<Link> | null = null;
  #open: Link | null = null;
  #seq = 0;
  readonly #asked = new Map<number, Asked>();

  constructor(options: RouterLinkOptions) {
    this.#options = options;
  }

  /** What the router answers, as over HTTP. Throws HandlerUnavailableError when none answers in time: the outcome is then unknown. */
  async ask({ body, ...question }: CommandQuestion): Promise<CommandAnswer> {
    const link = await this.#up();
    const seq = ++this.#seq;
    const { promise, resolve, reject } = Promise.withResolvers<CommandAnswer>();
    this.#asked.set(seq, { resolve, reject });
    const cancel = this.#options.clock.after(this.#options.timeoutMs, () =>
      reject(away('the router did not answer in time')),
    );
    try {
      const sent = link.send({ kind: 'command', seq, ...question, body: Buffer.from(JSON.stringify(body)) });
      if (sent !== 'queued') throw away(`the link to the router is ${sent}`);
      return await promise;
    } finally {
      cancel();
      this.#asked.delete(seq);
    }
  }

  stop(): void {
    this.#open?.kill();
    this.#fall('stopped');
  }

  #up(): Promise<Link> {
    this.#link ??= this.#connect().catch((error: unknown) => {
      this.#link = null;
      throw error;
    });
    return this.#link;
  }

  async #connect(): Promise<Link> {
    const { store, keys, name, clock, log, random, timeoutMs } = this.#options;
    const leases = await store.roleLeases('router').catch((error: unknown) => {
      throw away(`routers are not known: ${String(error)}`);
    });
    if (leases.length === 0) throw away('no router is there');
    const { linkAddress, name: router } = leases[Math.floor(random() * leases.length)]!;
    const up = Promise.withResolvers<void>();
    const link = openLink({
      address: linkAddress,
      keys,
      name,
      role: 'upstream',
      expectName: router,
      clock,
      log,
      random,
      onUp: () => up.resolve(),
      onFrame: (frame) => {
        if (frame.kind !== 'reply') return;
        const text = Buffer.from(frame.body).toString();
        this.#asked.get(frame.seq)?.resolve({ status: frame.status, body: text === '' ? null : JSON.parse(text) });
      },
      onDown: (reason) => {
        up.reject(away(`the link to the router fell: ${reason}`));
        if (this.#open === link) this.#fall(reason);
        link.kill();
      },
    });
    const cancel = clock.after(timeoutMs, () => up.reject(away('the router did not open the link in time')));
    try {
      await up.promise;
      this.#open = link;
      return link;
    } catch (error) {
      link.kill();
      throw error;
    } finally {
      cancel();
    }
  }

  #fall(reason: string): void {
    this.#link = null;
    this.#open = null;
    for (const { reject } of this.#asked.values()) reject(away(`the link to the router fell: ${reason}`));
  }
}

function away(problem: string): HandlerUnavailableError {
  return new HandlerUnavailableError(problem);
}
