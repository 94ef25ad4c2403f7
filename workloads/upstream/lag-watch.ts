// How much waits: the lag of topics, read now and then, so that metrics and readiness cost no trip. role.ts starts it.
import type { Bus } from '../bus/port.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';

export interface LagWatch {
  /** As last read; a topic that was not read yet is absent. */
  known(): readonly { readonly topic: string; readonly records: number }[];
  stop(): void;
}

const READ_MS = 5000;

export function watchLag(
  of: readonly { readonly group: string; readonly topic: string }[],
  { bus, clock, log }: { readonly bus: Bus; readonly clock: Clock; readonly log: Log },
): LagWatch {
  const read = new Map<string, number>();
  let isReading = false;
  const look = async (): Promise<void> => {
    if (isReading || !bus.health().reachable) return;
    isReading = true;
    try {
      for (const { group, topic } of of) read.set(topic, await bus.lag(group, topic));
    } catch (error) {
      log.debug({ problem: String(error) }, 'lag not read');
    }
    isReading = false;
  };
  const cancel = clock.every(READ_MS, () => void look());
  void look();
  return { known: () => [...read].map(([topic, records]) => ({ topic, records })), stop: cancel };
}
