// One operation of the store under way: some items, each with a reply in its place, and one promise for all of them. The router
// appends thousands a second, so there is no promise and no closure for an item.
import { StoreUnavailableError } from '../port.ts';

/** What a script answers for an item: nested arrays of bytes (texts where the reply was packed), numbers and nulls. */
export type Reply = Buffer | string | number | null | readonly Reply[];

export class Trip {
  readonly promise: Promise<readonly Reply[]>;
  readonly #replies: Reply[];
  #left: number;
  #resolve!: (replies: readonly Reply[]) => void;
  #reject!: (error: Error) => void;

  /** @param items at least 1 */
  constructor(items: number) {
    this.#replies = Array.from({ length: items }, () => null);
    this.#left = items;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  answer(index: number, reply: Reply): void {
    this.#replies[index] = reply;
    this.#left--;
    if (this.#left === 0) this.#resolve(this.#replies);
  }

  /** The first failure fails the operation; what other items of it did is unknown to who asked. */
  fail(error: StoreUnavailableError): void {
    this.#reject(error);
  }
}

/** A script reply that is a list. */
export function listOf(reply: Reply): readonly Reply[] {
  if (Array.isArray(reply)) return reply as readonly Reply[];
  throw new StoreUnavailableError(`expected a list from a script, got ${typeof reply}`);
}
export function textOf(reply: Reply | undefined): string {
  if (typeof reply === 'string') return reply;
  if (Buffer.isBuffer(reply)) return reply.toString();
  throw new StoreUnavailableError(`expected a text from a script, got ${typeof reply}`);
}
export function numberOf(reply: Reply | undefined): number {
  if (typeof reply === 'number') return reply;
  throw new StoreUnavailableError(`expected a number from a script, got ${typeof reply}`);
}
export function bytesOf(reply: Reply | undefined): Buffer {
  if (Buffer.isBuffer(reply)) return reply;
  throw new StoreUnavailableError(`expected bytes from a script, got ${typeof reply}`);
}
