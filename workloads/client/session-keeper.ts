// Keeps token and ticket in the storage, so that a client that starts again resumes without the registry; the newest wins where saves are
// slow. client.ts tells it of each change.
import type { Credentials } from './connection-state.ts';
import type { Storage, StoredSession } from './storage.ts';

export interface SessionKeeperOptions {
  readonly registryUrl: string;
  readonly app: string;
  readonly account: string;
  readonly device: string;
  readonly keepSession?: boolean;
}

export class SessionKeeper {
  readonly #owner: string;
  readonly #isKept: boolean;
  readonly #storage: Storage;
  readonly #onError: (error: unknown) => void;
  #next: Credentials | null = null;
  #saving: Promise<void> | null = null;

  constructor(options: SessionKeeperOptions, storage: Storage, onError: (error: unknown) => void) {
    const { registryUrl, app, account, device, keepSession = true } = options;
    this.#owner = `${registryUrl} ${app} ${account} ${device}`;
    this.#isKept = keepSession;
    this.#storage = storage;
    this.#onError = onError;
  }

  /** What an earlier life left; null: nothing, or it is another account's or another cluster's. */
  keptIn(session: StoredSession | null): Credentials | null {
    if (!this.#isKept || session === null || session.owner !== this.#owner) return null;
    const { token, ticket, targets, gateways } = session;
    return { token, ticket, targets, gateways };
  }

  keep(credentials: Credentials): void {
    if (!this.#isKept) return;
    this.#next = credentials;
    this.#saving ??= this.#save();
  }

  async whenSaved(): Promise<void> {
    await this.#saving;
  }

  async #save(): Promise<void> {
    while (this.#next !== null) {
      const session: StoredSession = { owner: this.#owner, ...this.#next };
      this.#next = null;
      try {
        await this.#storage.save({ session });
      } catch (error) {
        this.#onError(error); // an older one stays: the gateway then asks for the token
      }
    }
    this.#saving = null;
  }
}
