// Message ids, made some hundred at once: asking for random bytes for each costs 4 % of a push.
import { randomBytes } from 'node:crypto';
import { messageIdAt } from '../../protocol/ids.ts';
import type { MessageId } from '../../protocol/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

const ID_BYTES = 10;
const RANDOM_BYTES = 4000;

/** A source of ids that sort by the clock's time. */
export function openIds(clock: Pick<Clock, 'nowMs'>): () => MessageId {
  let random: Buffer = Buffer.alloc(0);
  let at = 0;
  return () => {
    if (at + ID_BYTES > random.length) {
      random = randomBytes(RANDOM_BYTES);
      at = 0;
    }
    return messageIdAt(clock.nowMs(), random.subarray(at, (at += ID_BYTES)));
  };
}
