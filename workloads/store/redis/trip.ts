// One operation of the store under way: some items, each with a reply in its place, and one promise for all of them. The router
// appends thousands a second, so there is no promise and no closure for an item.
import { StoreUnavailableError } from '../port.ts';

/** What a script answers for an item: nested arrays of bytes (texts where the reply was packed), numbers and nulls. */
export type Reply = Buffer | string | number | null | readonly Reply[];

export class Trip {
  readonly promise: Promise<readonly Reply[]>;
  readonly #replies: Reply[];
  readonly #each: boolean;
  #failures: Map<number, StoreUnavailableError> | null = null;
  #left: number;
  #resolve!: (replies: readonly Reply[]) => void;
  #reject!: (error: Error) => void;

  /**
   * @param items at least 1
   * @param each an item that fails fails alone; else the first failure fails the operation
   */
  constructor(items: number, each = false) {
    this.#each = each;
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

  /** The reply of an item that failed is null. */
  fail(index: number, error: StoreUnavailableError): void {
    if (!this.#each) return this.#reject(error);
    this.#failures ??= new Map();
    this.#failures.set(index, error);
    this.answer(index, null);
  }

  /** Of items that failed alone, once the promise resolved; null: none. */
  get failures(): ReadonlyMap<number, StoreUnavailableError> | null {
    return this.#failures;
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
