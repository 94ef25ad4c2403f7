// Who handles a message whose effect is outside any transaction of ours: a claim in the store, made before the effect. The claim names the
// record, so a record that comes again after a crash may go on where it was, and a copy that the client sent later is a duplicate. That
// makes such handlers at least once across a crash between effect and settling, and once otherwise.
import { hash, randomBytes } from 'node:crypto';
import { messageIdAt } from '../protocol/ids.ts';
import type { Clock } from '../runtime/clock.ts';
import { StoreUnavailableError } from '../store/port.ts';
import type { Store } from '../store/port.ts';
import { HandlerUnavailableError } from './handlers/handler.ts';
import type { UpstreamMessage } from './message.ts';

/** One name for (app, device, key): idempotency keys of the router, the id that webhooks carry. 53 characters. */
export function nameOfMessage({ app, device, key }: Pick<UpstreamMessage, 'app' | 'device' | 'key'>): string {
  return `upstream-${hash('sha256', JSON.stringify([app, device, key]), 'base64url')}`;
}

export class Claims {
  readonly #store: Pick<Store, 'claimKey'>;
  readonly #clock: Clock;

  constructor(store: Pick<Store, 'claimKey'>, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** True: this record is the one to handle. Throws HandlerUnavailableError when the store is away. Cost: one trip. */
  async claim(message: UpstreamMessage): Promise<boolean> {
    try {
      const id = messageIdAt(this.#clock.nowMs(), randomBytes(10));
      const held = await this.#store.claimKey(message.app, nameOfMessage(message), id, message.origin);
      return held.claimed || held.fingerprint === message.origin;
    } catch (error) {
      if (error instanceof StoreUnavailableError)
        throw new HandlerUnavailableError(`store: ${error.message}`, { cause: error });
      throw error;
    }
  }
}
