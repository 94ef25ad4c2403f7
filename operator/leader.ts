// Leader election over a Lease, as other controllers do it: whoever holds it renews it; whoever sees it unrenewed for its whole
// duration, by its own clock, takes it over. It has a kube client of its own, so that no queue of other requests delays a renewal.
// main.ts starts the controller when it leads and ends the process when it no longer does.
import type { Clock } from '../workloads/runtime/clock.ts';
import type { Log } from '../workloads/runtime/log.ts';
import type { LeaseView } from './kube/objects.ts';
import { isKubeStatus, KINDS } from './kube/port.ts';
import type { Kube } from './kube/port.ts';

export interface LeaderOptions {
  readonly kube: Kube;
  readonly clock: Clock;
  readonly log: Log;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly leaseMs: number;
  /** 0 ≤ random() < 1 */
  readonly random: () => number;
  readonly onLead: () => void;
  /** Called once, before anybody else can lead; after it the process MUST write nothing more. */
  readonly onLost: (why: string) => void;
}

/** Tried this many times within a lease. */
const RENEWALS_PER_LEASE = 5;
/** A leader that could not renew gives up at this share of the lease: before anybody else may take it. */
const GIVE_UP_SHARE = 2 / 3;

export interface Leader {
  readonly isLeading: () => boolean;
  /** Gives the Lease back, so that the next one need not wait. */
  stop(): Promise<void>;
}

export function startLeader(options: LeaderOptions): Leader {
  const election = new Election(options);
  election.start();
  return { isLeading: () => election.isLeading, stop: () => election.stop() };
}

class Election {
  readonly #options: LeaderOptions;
  isLeading = false;
  #isStopped = false;
  #renewedMs = 0;
  /** The record last seen, and when by our clock it last changed. */
  #seen: { readonly text: string; readonly atMs: number } | null = null;
  #cancelTimer: (() => void) | null = null;
  #cancelGiveUp: (() => void) | null = null;
  #attempt: Promise<void> = Promise.resolve();

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  start(): void {
    this.#attempt = this.#try();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#cancelGiveUp?.();
    await this.#attempt;
    if (!this.isLeading) return;
    this.isLeading = false;
    try {
      const lease = await this.#read();
      if (lease?.spec?.holderIdentity !== this.#options.identity) return;
      await this.#options.kube.replace({
        ...lease,
        spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 },
      });
    } catch (error) {
      this.#options.log.warn({ problem: messageOf(error) }, 'lease not given back; it will run out');
    }
  }

  /** One attempt to get or renew; never rejects. */
  async #try(): Promise<void> {
    const { clock, leaseMs, log, random } = this.#options;
    const startedMs = clock.monotonicMs();
    try {
      if (await this.#acquire()) this.#lead(startedMs);
      else if (this.isLeading) this.#lose('the Lease has another holder');
    } catch (error) {
      log.warn({ problem: messageOf(error), leading: this.isLeading }, 'lease not renewed');
    }
    if (this.#isStopped) return;
    const delayMs = (leaseMs / RENEWALS_PER_LEASE) * (1 + 0.2 * random());
    this.#cancelTimer = clock.after(delayMs, () => {
      this.#attempt = this.#try();
    });
  }

  #lead(renewedMs: number): void {
    if (this.#isStopped) return;
    const { clock, leaseMs, onLead } = this.#options;
    this.#renewedMs = renewedMs;
    this.#cancelGiveUp?.();
    const giveUpMs = renewedMs + leaseMs * GIVE_UP_SHARE - clock.monotonicMs();
    this.#cancelGiveUp = clock.after(Math.max(0, giveUpMs), () => this.#giveUp());
    if (this.isLeading) return;
    this.isLeading = true;
    onLead();
  }

  #giveUp(): void {
    if (this.isLeading)
      this.#lose(`not renewed for ${Math.round(this.#options.clock.monotonicMs() - this.#renewedMs)} ms`);
  }

  #lose(why: string): void {
    this.isLeading = false;
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#cancelGiveUp?.();
    this.#options.onLost(why);
  }

  async #acquire(): Promise<boolean> {
    const { clock, kube, identity } = this.#options;
    const lease = await this.#read();
    try {
      if (lease === null) {
        await kube.create(this.#record(null));
        return true;
      }
      const { holderIdentity, leaseDurationSeconds } = lease.spec ?? {};
      const text = JSON.stringify(lease.spec ?? {});
      if (this.#seen?.text !== text) this.#seen = { text, atMs: clock.monotonicMs() };
      const isFree = holderIdentity === null || holderIdentity === undefined || holderIdentity === '';
      const isOver = clock.monotonicMs() - this.#seen.atMs >= (leaseDurationSeconds ?? 0) * 1000;
      if (holderIdentity !== identity && !isFree && !isOver) return false;
      await kube.replace(this.#record(lease));
      return true;
    } catch (error) {
      if (isKubeStatus(error, 409)) return false; // another one was quicker
      throw error;
    }
  }

  #read(): Promise<LeaseView | null> {
    const { kube, name, namespace } = this.#options;
    return kube.get(KINDS.lease, { name, namespace });
  }

  #record(before: LeaseView | null): LeaseView {
    const { clock, identity, leaseMs, name, namespace } = this.#options;
    const nowMicro = new Date(clock.nowMs()).toISOString().replace('Z', '000Z');
    const isMine = before?.spec?.holderIdentity === identity;
    return {
      ...(before ?? { apiVersion: KINDS.lease.apiVersion, kind: KINDS.lease.kind, metadata: { name, namespace } }),
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(leaseMs / 1000),
        acquireTime: isMine ? (before.spec?.acquireTime ?? nowMicro) : nowMicro,
        renewTime: nowMicro,
        leaseTransitions: (before?.spec?.leaseTransitions ?? 0) + (isMine || before === null ? 0 : 1),
      },
    };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
