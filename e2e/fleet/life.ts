// One life of a test device: between a start and a crash. A life that crashed reaches nothing any more: no disk, no network, no log; what it had
// not saved is gone. device.ts begins one life after the other over the same storage.
import WebSocketOfWs from 'ws';
import type { Fetch } from '../../workloads/client/registry-api.ts';
import type { WebSocketConstructor } from '../../workloads/client/socket.ts';
import type { Storage, StorageChanges } from '../../workloads/client/storage.ts';

export class CrashedError extends Error {
  readonly code = 'crashed';
  constructor() {
    super('this life of the device is over');
  }
}

export class Life {
  #crashed = false;

  get crashed(): boolean {
    return this.#crashed;
  }
  crash(): void {
    this.#crashed = true;
  }
  assertAlive(): void {
    if (this.#crashed) throw new CrashedError();
  }

  /** @param onSaved what is on the disk now */
  storage(disk: Storage, onSaved: (changes: StorageChanges) => void): Storage {
    return {
      load: () => disk.load(),
      save: async (changes) => {
        this.assertAlive();
        await disk.save(changes);
        if (!this.#crashed) onSaved(changes);
      },
      close: () => Promise.resolve(), // the disk belongs to the device
    };
  }

  webSocket(): WebSocketConstructor {
    const assertAlive = (): void => this.assertAlive();
    return class extends WebSocketOfWs {
      constructor(url: string, protocols: string[]) {
        assertAlive();
        super(url, protocols);
      }
    };
  }

  fetch(): Fetch {
    return async (url, init) => {
      this.assertAlive();
      return await fetch(url, init);
    };
  }
}
