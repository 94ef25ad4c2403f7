// Hints of durable messages for a device whose session is being opened. The store names this gateway from a moment on that only its answer
// tells, and answers wait while this process is busy: a hint of what was appended after that moment can be taken first. So it is remembered
// until the session lives, which then reads what it has not got. deliver.ts tells, connect.ts asks.
import type { Epoch } from '../../protocol/ids.ts';
import type { Lane } from '../../protocol/streams.ts';
import { hear } from '../endings/cursor.ts';
import type { HeardStream } from '../endings/cursor.ts';
import type { Connection } from './connection.ts';

export class EarlyHints {
  /** Connections that are opening a session of the device; nearly always one. */
  readonly attempts = new Set<Connection>();
  /** The highest generation that the store gave one of them; 0: none yet. */
  generation = 0;
  readonly #heard = new Map<Lane, HeardStream>();

  /** A lane reaches at least this far. */
  hear(lane: Lane, epoch: Epoch, offset: number): void {
    const stream = this.#heard.get(lane);
    if (stream === undefined) this.#heard.set(lane, { epoch, head: offset });
    else hear(stream, epoch, offset);
  }

  /** How far each lane reaches. */
  heard(): Iterable<readonly [Lane, HeardStream]> {
    return this.#heard;
  }
}
