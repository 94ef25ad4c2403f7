// Messages for an account that one device's ack satisfies: they end for its other devices too. settles.ts notes them as the store names
// them; here the devices are looked up and their entries settled. Bounded; while the store is away it waits. What is dropped is delivered
// to the other devices as well, and counted.
import type { MessageId } from '../../protocol/ids.ts';
import type { Lane } from '../../protocol/streams.ts';
import type { EntrySettle } from '../../store/port.ts';
import type { Connection } from '../connect/connection.ts';
import type { Gateway } from '../gateway.ts';
import type { Permission } from '../connect/session.ts';

/** Messages that may wait, about 100 bytes each. */
export const SATISFIED_WAITING_MAX = 20_000;
const MESSAGES_PER_ROUND = 256;
const RETRY_MS = 1000;

interface Waiting {
  readonly by: Permission;
  readonly lane: Lane;
  readonly messageId: MessageId;
}

export class Satisfied {
  readonly #gateway: Gateway;
  #waiting: Waiting[] = [];
  #busy = false;
  #underWay: Promise<void> = Promise.resolve();

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** This session acked these. */
  note(connection: Connection, lane: Lane, ids: readonly MessageId[]): void {
    for (const messageId of ids) {
      if (this.#waiting.length >= SATISFIED_WAITING_MAX) this.#gateway.counts.satisfiedDropped++;
      else this.#waiting.push({ by: connection.session!.permission, lane, messageId });
    }
    if (this.#waiting.length > 0 && !this.#busy) this.#underWay = this.#run();
  }

  /** Resolves when nothing waits or the store failed. */
  async flush(): Promise<void> {
    await this.#underWay;
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length > 0 && !this.#gateway.state.ended) {
      const some = this.#waiting.slice(0, MESSAGES_PER_ROUND);
      try {
        await this.#settle(some);
        this.#waiting = this.#waiting.slice(some.length);
      } catch (error) {
        this.#gateway.log.warn(
          { messages: some.length, problem: String(error) },
          'other devices not settled, again later',
        );
        this.#gateway.clock.after(RETRY_MS, () => {
          this.#underWay = this.#run();
        });
        return;
      }
    }
    this.#busy = false;
  }

  /** Idempotent: what is settled already stays as it is. */
  async #settle(some: readonly Waiting[]): Promise<void> {
    const accounts = new Map<string, Permission>();
    for (const { by } of some) accounts.set(keyOf(by), by);
    const { store, name: gateway } = this.#gateway;
    const rows = [...accounts.values()].map(
      async (by) => [keyOf(by), await store.accountDevices(by.app, by.account)] as const,
    );
    const devices = new Map(await Promise.all(rows));
    const settles = some.flatMap(({ by, lane, messageId }) =>
      devices
        .get(keyOf(by))!
        .filter((device) => device !== by.device)
        .map((device): EntrySettle => {
          const entry = { messageId };
          return { app: by.app, device, lane, entry, state: 'satisfied', generation: null, gateway };
        }),
    );
    if (settles.length === 0) return;
    await store.settleEntries(settles);
    this.#gateway.counts.satisfied += settles.length;
  }
}

function keyOf({ app, account }: Permission): string {
  return `${app} ${account}`;
}
