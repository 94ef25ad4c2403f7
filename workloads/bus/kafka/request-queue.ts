// kafkajs 2.2.4 looks again at each connection's queue of requests by a timer, also when nothing waits in it: then at minus the time of day,
// which Node makes 1 ms, again and again, and Node 24 says so (TimeoutNegativeWarning). This leaves out the looks that have nothing to see.
import { createRequire } from 'node:module';

/** As far as it matters here: requests that wait, and until when the broker wants none, ms since 1970. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  scheduleCheckPendingRequests: (this: RequestQueue) => void;
}

let isCalm = false;

/** Whether a look has something to see; a request that comes when there is neither goes out at once, and one that waits asks for its look. */
export function needsLook({ pending, throttledUntil }: RequestQueue, nowMs: number): boolean {
  return pending.length > 0 || throttledUntil > nowMs;
}

/** Makes kafkajs's queues so; calling it again changes nothing. */
export function calmRequestQueues(): void {
  if (isCalm) return;
  isCalm = true;
  const { prototype } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
    prototype: RequestQueue;
  };
  const { scheduleCheckPendingRequests } = prototype;
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (needsLook(this, Date.now())) scheduleCheckPendingRequests.call(this);
  };
}
