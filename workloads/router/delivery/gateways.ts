// The gateways that are alive, by their leases in the store, and a link to each. The leases are read each leasePollMs, and at once when a
// route names a life that is not known yet. While the store does not answer, the ones known stay.
import type { LinkCounters } from '../../link/counters.ts';
import type { BootId, GatewayName } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { GatewayLease, Store } from '../../store/port.ts';
import type { Broadcast } from './broadcast.ts';
import type { Delivery, GatewayLinkOptions, Question, Sent } from './gateway-link.ts';
import { GatewayPath } from './gateway-path.ts';

export interface GatewaysOptions {
  readonly store: Pick<Store, 'leases'>;
  readonly leasePollMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly link: Pick<GatewayLinkOptions, 'name' | 'keys' | 'random' | 'onAnswer' | 'onRoom' | 'onCommand'> & {
    readonly counters: LinkCounters;
  };
  /** Takes over for links that fail; null: there is no bus. */
  readonly broadcast: Broadcast | null;
  /** Deliveries that were under way to a life that is over. */
  onLost(left: readonly Sent[]): void;
  onDropped(count: number): void;
  onStoreFailure(): void;
}

/** A durable topic message is told to a gateway that was not known yet when it was published, if that was so lately. */
const RECENT_MAX = 2000;
const RECENT_BYTES_MAX = 4 * 1024 * 1024;
/** Beyond two polls: the time a link takes to stand. */
const RECENT_MARGIN_MS = 1000;

/** What the gateways said to one question. */
export interface GatewayReplies {
  readonly replies: readonly {
    readonly gateway: GatewayName;
    readonly bootId: BootId;
    readonly status: number;
    readonly body: Uint8Array;
  }[];
  /** Those that did not answer in time. */
  readonly silent: readonly GatewayName[];
}

export class Gateways {
  readonly #options: GatewaysOptions;
  readonly #links = new Map<BootId, GatewayPath>();
  #recent: { readonly delivery: Delivery; readonly atMs: number }[] = [];
  #recentBytes = 0;
  #reading: Promise<void> | null = null;
  #cancel: (() => void) | null = null;
  #known = false;
  #stopped = false;

  constructor(options: GatewaysOptions) {
    this.#options = options;
  }

  /** Reads the leases once, then each leasePollMs. Resolves after the first reading, also when it failed. */
  async start(): Promise<void> {
    const { clock, leasePollMs } = this.#options;
    this.#cancel = clock.every(leasePollMs, () => {
      void this.refresh();
      for (const link of this.#links.values()) this.#options.onDropped(link.tick(clock.monotonicMs()));
      this.#trimRecent();
    });
    await this.refresh();
  }

  /** Whether the leases were ever read. */
  get isKnown(): boolean {
    return this.#known;
  }
  all(): Iterable<GatewayPath> {
    return this.#links.values();
  }
  /** The link to a life; null: it has no lease. */
  byBoot(bootId: BootId): GatewayPath | null {
    return this.#links.get(bootId) ?? null;
  }

  /** Reads the leases now; one reading at a time is shared. Never rejects. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = null));
    return this.#reading;
  }

  /** A durable topic message to every gateway; answers to how many it went or will go. */
  tellTopic(delivery: Delivery): number {
    this.#recent.push({ delivery, atMs: this.#options.clock.monotonicMs() });
    this.#recentBytes += delivery.record.length;
    if (this.#recent.length > RECENT_MAX || this.#recentBytes > RECENT_BYTES_MAX) this.#trimRecent();
    let told = 0;
    for (const link of this.#links.values()) {
      if (link.offer(delivery) === 'full') this.#options.onDropped(1);
      else told++;
    }
    return told;
  }

  /** Asks every gateway at once. Never rejects; takes at most `timeoutMs`. */
  async ask(question: Question, timeoutMs: number): Promise<GatewayReplies> {
    const links = [...this.#links.values()];
    const answers = await Promise.all(links.map((link) => link.ask(question, timeoutMs)));
    return {
      replies: links.flatMap(({ lease: { gateway, bootId } }, i) => {
        const reply = answers[i] ?? null;
        return reply === null ? [] : [{ gateway, bootId, status: reply.status, body: reply.body }];
      }),
      silent: links.flatMap(({ lease }, i) => (answers[i] === null ? [lease.gateway] : [])),
    };
  }

  stop(how: 'close' | 'kill'): void {
    this.#stopped = true;
    this.#cancel?.();
    for (const link of this.#links.values()) link.close(how);
    this.#links.clear();
  }

  async #read(): Promise<void> {
    let leases: readonly GatewayLease[];
    try {
      leases = await this.#options.store.leases();
    } catch (error) {
      this.#options.onStoreFailure();
      this.#options.log.warn({ problem: String(error) }, 'leases not read; the gateways known stay');
      return;
    }
    if (this.#stopped) return;
    this.#known = true;
    const alive = new Set(leases.map((lease) => lease.bootId));
    for (const [bootId, link] of this.#links) if (!alive.has(bootId)) this.#drop(bootId, link);
    for (const lease of leases) if (!this.#links.has(lease.bootId)) this.#add(lease);
  }

  #add(lease: GatewayLease): void {
    const { clock, log, link, broadcast } = this.#options;
    try {
      const made = new GatewayPath({ ...link, lease, clock, log, broadcast });
      this.#links.set(lease.bootId, made);
      this.#trimRecent();
      for (const { delivery } of this.#recent) made.offer(delivery);
      log.info({ gateway: lease.gateway, bootId: lease.bootId, address: lease.linkAddress }, 'gateway found');
    } catch (error) {
      log.error({ gateway: lease.gateway, problem: String(error) }, 'lease of a gateway is unusable');
    }
  }

  #drop(bootId: BootId, link: GatewayPath): void {
    this.#links.delete(bootId);
    this.#options.log.info({ gateway: link.lease.gateway, bootId, unanswered: link.unanswered }, 'gateway gone');
    this.#options.onLost(link.close('close'));
    this.#options.link.onRoom();
  }

  #trimRecent(): void {
    const { clock, leasePollMs } = this.#options;
    const since = clock.monotonicMs() - 2 * leasePollMs - RECENT_MARGIN_MS;
    const fresh = this.#recent.findIndex(({ atMs }) => atMs >= since);
    let from = fresh === -1 ? this.#recent.length : fresh;
    let bytes = this.#recent.slice(from).reduce((sum, { delivery }) => sum + delivery.record.length, 0);
    // Half of the bounds, so that a burst does not trim at each message.
    while (this.#recent.length - from > RECENT_MAX / 2 || bytes > RECENT_BYTES_MAX / 2)
      bytes -= this.#recent[from++]!.delivery.record.length;
    this.#recent = this.#recent.slice(from);
    this.#recentBytes = bytes;
  }
}
