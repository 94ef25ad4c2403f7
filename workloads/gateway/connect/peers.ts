// Word to other gateways that a session moved here, so that they close its old connection. Links are opened when needed and closed when
// nothing was said for a while. Best effort: an old connection that is not told falls silent, since its acks no longer count (R8).
import type { BootId } from '../../protocol/ids.ts';
import type { Replaced } from '../../protocol/link.ts';
import { openLink } from '../../link/client.ts';
import type { Link } from '../../link/client.ts';
import type { GatewayLease, Route } from '../../store/port.ts';
import type { Gateway } from '../gateway.ts';

/** Lives are read from the store at most this often. */
const LEASES_FRESH_MS = 1000;
const IDLE_MS = 60_000;
/** Frames that wait for one link to come up; a storm of resumers after a drain is some thousands. */
export const WAITING_MAX = 20_000;

interface Peer {
  readonly link: Link;
  waiting: Replaced[];
  usedAtMs: number;
}

export class Peers {
  readonly #gateway: Gateway;
  readonly #peers = new Map<BootId, Peer>();
  #leases: Promise<readonly GatewayLease[]> | null = null;
  #leasesAtMs = 0;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** Tells the gateway that held the session. */
  tellReplaced(route: Route, newer: Omit<Replaced, 'kind'>): void {
    void this.#tell(route, { kind: 'replaced', ...newer });
  }

  /** Closes links that nobody used lately; role.ts calls it now and then. */
  closeIdle(): void {
    const before = this.#gateway.clock.nowMs() - IDLE_MS;
    for (const [bootId, peer] of this.#peers) if (peer.usedAtMs < before) this.#close(bootId, peer);
  }
  stop(): void {
    for (const [bootId, peer] of this.#peers) this.#close(bootId, peer);
  }

  async #tell(route: Route, frame: Replaced): Promise<void> {
    try {
      const known = this.#peers.get(route.bootId);
      if (known !== undefined) return this.#send(known, frame);
      const lease = (await this.#readLeases()).find(({ bootId }) => bootId === route.bootId);
      if (lease === undefined) return; // that life is over, and its connections with it
      this.#send(this.#peers.get(route.bootId) ?? this.#open(lease), frame);
    } catch (error) {
      this.#gateway.log.debug({ problem: String(error) }, 'other gateway not told');
    }
  }

  #readLeases(): Promise<readonly GatewayLease[]> {
    const nowMs = this.#gateway.clock.nowMs();
    if (this.#leases !== null && nowMs - this.#leasesAtMs < LEASES_FRESH_MS) return this.#leases;
    this.#leasesAtMs = nowMs;
    this.#leases = this.#gateway.store.leases();
    this.#leases.catch(() => {
      this.#leases = null;
    });
    return this.#leases;
  }

  #open(lease: GatewayLease): Peer {
    const { keys, name, clock, log, random } = this.#gateway;
    const link = openLink({
      address: lease.linkAddress,
      keys: () => keys.current().link,
      name,
      role: 'gateway',
      expectName: lease.gateway,
      clock,
      log,
      random,
      onFrame: () => {},
      onUp: () => this.#flush(lease.bootId),
      onDown: () => {}, // it tries again by itself; what waits goes when it is up
    });
    const peer: Peer = { link, waiting: [], usedAtMs: clock.nowMs() };
    this.#peers.set(lease.bootId, peer);
    return peer;
  }

  #send(peer: Peer, frame: Replaced): void {
    peer.usedAtMs = this.#gateway.clock.nowMs();
    if (peer.link.isUp() && peer.link.send(frame) === 'queued') return;
    if (peer.waiting.length < WAITING_MAX) peer.waiting.push(frame);
  }

  #flush(bootId: BootId): void {
    const peer = this.#peers.get(bootId);
    if (peer === undefined) return;
    const { waiting } = peer;
    peer.waiting = [];
    for (const frame of waiting) this.#send(peer, frame);
  }

  #close(bootId: BootId, peer: Peer): void {
    this.#peers.delete(bootId);
    peer.link.close();
  }
}
