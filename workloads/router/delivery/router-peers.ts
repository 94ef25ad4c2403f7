// The other routers: who they are by their leases in the store, and a link to each, over which live messages go to the one that owns their
// stream (R11). The lease of this router is renewed here too. While the store does not answer, the peers known stay.
import { newLinkCounters } from '../../link/counters.ts';
import { openLink } from '../../link/client.ts';
import type { Link } from '../../link/client.ts';
import type { SymmetricKey } from '../../protocol/credentials.ts';
import type { BootId } from '../../protocol/ids.ts';
import type { Command, Forwarded, ForwardLive, Reply } from '../../protocol/link.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { RoleLease, Store } from '../../store/port.ts';
import { parseClockTold } from './stamps.ts';
import type { Stamps } from './stamps.ts';

export interface RouterPeersOptions {
  readonly store: Pick<Store, 'renewRoleLease' | 'dropRoleLease' | 'roleLeases'>;
  /** This router's; null: it takes no part, nobody forwards to it. */
  readonly lease: RoleLease | null;
  readonly name: string;
  readonly keys: () => readonly SymmetricKey[];
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly stamps: Stamps;
  /** The routers with a lease, this one always among them. */
  onPeers(boots: readonly BootId[]): void;
  onStoreFailure(): void;
}

export type Forward = Omit<ForwardLive, 'seq' | 'floor'>;

/** As long as a gateway's: gone 6 s after its last renewal. */
export const ROUTER_LEASE_MS = 6000;
const RENEW_MS = ROUTER_LEASE_MS / 3;
const CLOCK_MS = 5000;
/** Live messages under way to one router: with answers each 5 ms two million a second. */
export const FORWARDS_MAX = 10_000;
const CLOCK_OP = 'clock';

interface Peer {
  readonly lease: RoleLease;
  readonly link: Link;
  readonly forwards: Map<number, (answer: Forwarded | null) => void>;
  clockAskedMs: number;
  wasUp: boolean;
  clockSeq: number;
  seq: number;
}

export class RouterPeers {
  readonly #options: RouterPeersOptions;
  readonly #peers = new Map<BootId, Peer>();
  #timers: (() => void)[] = [];
  #stopped = false;

  constructor(options: RouterPeersOptions) {
    this.#options = options;
  }

  /** Announces this router and reads who else is there; resolves after the first try of both. */
  async start(): Promise<void> {
    const { clock, lease } = this.#options;
    if (lease === null) return;
    this.#timers.push(
      clock.every(RENEW_MS, () => void this.#turn()),
      clock.every(CLOCK_MS, () => this.#peers.forEach((peer) => this.#askClock(peer))),
    );
    await this.#turn();
  }

  get count(): number {
    return this.#peers.size;
  }
  get linksUp(): number {
    return [...this.#peers.values()].filter(({ link }) => link.isUp()).length;
  }
  /** Whether a live message can go to that router now. */
  canReach(boot: BootId): boolean {
    return this.#peers.get(boot)?.link.isUp() === true;
  }

  /** Hands a live message to its owner. Null: the link fell before the answer, or there is no room; whether it was sent is unknown. */
  forward(boot: BootId, message: Forward): Promise<Forwarded | null> {
    const peer = this.#peers.get(boot);
    if (peer === undefined || peer.forwards.size >= FORWARDS_MAX) return Promise.resolve(null);
    const seq = ++peer.seq;
    const { stamps } = this.#options;
    if (peer.link.send({ ...message, seq, floor: stamps.newest }) !== 'queued') return Promise.resolve(null);
    return new Promise((resolve) => void peer.forwards.set(seq, resolve));
  }

  /** Leaves; the lease is dropped so that the others need not wait for its end. */
  async stop(how: 'close' | 'kill'): Promise<void> {
    this.#stopped = true;
    this.#timers.forEach((cancel) => cancel());
    for (const peer of this.#peers.values()) this.#end(peer, how);
    this.#peers.clear();
    const { lease, store, log } = this.#options;
    if (lease === null || how === 'kill') return;
    await store.dropRoleLease('router', lease.bootId).catch((error: unknown) => {
      log.debug({ problem: String(error) }, 'own lease not dropped; it runs out');
    });
  }

  async #turn(): Promise<void> {
    const { store, lease, log } = this.#options;
    if (lease === null) return;
    try {
      await store.renewRoleLease(lease, ROUTER_LEASE_MS);
      const leases = await store.roleLeases('router');
      if (!this.#stopped) this.#see(leases, lease.bootId);
    } catch (error) {
      this.#options.onStoreFailure();
      log.debug({ problem: String(error) }, 'leases of routers not read; the routers known stay');
    }
  }

  #see(leases: readonly RoleLease[], own: BootId): void {
    const { stamps } = this.#options;
    const alive = new Set(leases.map(({ bootId }) => bootId));
    for (const [boot, peer] of this.#peers) {
      if (alive.has(boot)) continue;
      this.#peers.delete(boot);
      this.#end(peer, 'close');
      stamps.leap();
    }
    const met = this.#peers.size > 0;
    for (const lease of leases) if (lease.bootId !== own && !this.#peers.has(lease.bootId)) this.#add(lease);
    if (!met && this.#peers.size > 0) stamps.leap();
    stamps.keep(alive);
    this.#options.onPeers([own, ...this.#peers.keys()]);
  }

  #add(lease: RoleLease): void {
    const { name, keys, clock, log, random } = this.#options;
    try {
      const peer: Peer = {
        lease,
        forwards: new Map(),
        clockAskedMs: 0,
        wasUp: false,
        clockSeq: 0,
        seq: 0,
        link: openLink({
          address: lease.linkAddress,
          keys,
          name,
          role: 'router',
          expectName: lease.name,
          clock,
          log,
          random,
          counters: newLinkCounters(),
          onFrame: (frame) => {
            if (frame.kind === 'forwarded') this.#answered(peer, frame);
            else if (frame.kind === 'reply') this.#heardClock(peer, frame);
          },
          onUp: () => {
            peer.wasUp = true;
            this.#askClock(peer);
          },
          onDown: () => {
            if (peer.wasUp) this.#options.stamps.leap();
            peer.wasUp = false;
            this.#forgetForwards(peer);
          },
        }),
      };
      this.#peers.set(lease.bootId, peer);
      log.info({ router: lease.name, bootId: lease.bootId, address: lease.linkAddress }, 'router found');
    } catch (error) {
      log.error({ router: lease.name, problem: String(error) }, 'lease of a router is unusable');
    }
  }

  #answered(peer: Peer, answer: Forwarded): void {
    const resolve = peer.forwards.get(answer.seq);
    peer.forwards.delete(answer.seq);
    this.#options.stamps.observe(answer.stamp);
    resolve?.(answer);
  }
  #end(peer: Peer, how: 'close' | 'kill'): void {
    peer.link[how]();
    this.#forgetForwards(peer);
  }
  #forgetForwards(peer: Peer): void {
    for (const resolve of peer.forwards.values()) resolve(null);
    peer.forwards.clear();
  }

  #askClock(peer: Peer): void {
    peer.clockAskedMs = this.#options.clock.nowMs();
    peer.clockSeq = ++peer.seq;
    peer.link.send(clockQuestion(peer.clockSeq));
  }
  #heardClock(peer: Peer, reply: Reply): void {
    const told = parseClockTold(Buffer.from(reply.body).toString());
    if (told === null || reply.seq !== peer.clockSeq) return;
    this.#options.stamps.heard(peer.lease.bootId, told, peer.clockAskedMs);
  }
}

function clockQuestion(seq: number): Command {
  return { kind: 'command', seq, op: CLOCK_OP, app: '', account: '', device: '', body: new Uint8Array(0) };
}
/** The answer to another router's question for the time; null: it asked for something else. */
export function answerClock(question: Command, stamps: Stamps): Reply | null {
  if (question.op !== CLOCK_OP) return null;
  return { kind: 'reply', seq: question.seq, status: 200, body: Buffer.from(JSON.stringify(stamps.tell())) };
}
