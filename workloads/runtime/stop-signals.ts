// What a role's process does with SIGTERM and SIGINT. After SIGTERM it serves on for a moment: Services take a pod out of their
// endpoints at the same time as the kubelet sends the signal, and callers that still come must not be refused. main.ts calls it.
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from './log.ts';

export interface StopOnSignals {
  readonly log: Log;
  /** How long to serve on after SIGTERM, ms; SIGINT (a person at a terminal) does not wait. */
  readonly delayMs: number;
  /** Ends the role and what it opened. */
  readonly stop: () => Promise<void>;
}

/** Ends the process with 0 after the first signal, or with 1 when stopping failed; a second signal ends it at once. */
export function stopOnSignals({ log, delayMs, stop }: StopOnSignals): void {
  let isStopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (isStopping) process.exit(130);
    isStopping = true;
    log.info({ signal }, 'stopping');
    delay(signal === 'SIGTERM' ? delayMs : 0)
      .then(stop)
      .then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ problem: String(error) }, 'stopping failed');
          process.exit(1);
        },
      );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
