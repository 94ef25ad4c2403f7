// Notices of what pushes meet: a message waits for an offline device, a delivery died of a full stream. They leave as jobs, together; the
// job's id is that of the event, so that a retry tells nobody twice. Webhooks post them.
import { isNoticeWanted, noticeJob } from '../../protocol/notices.ts';
import type { Notice } from '../../protocol/notices.ts';
import type { AppDefinition } from '../../protocol/apps.ts';
import type { AppId, DeviceId } from '../../protocol/ids.ts';
import type { Job, Store } from '../../store/port.ts';
import { openCollector } from '../delivery/collector.ts';
import type { Collector } from '../delivery/collector.ts';
import type { RouterCounts } from '../counts.ts';
import type { Outgoing } from './compose.ts';

/** What a notice says of its message. */
export type NoticedMessage = Pick<Outgoing, 'app' | 'id' | 'lane'>;

/** Jobs in one trip. */
const NOTICES_MAX = 500;

export interface NoticesOptions {
  readonly store: Pick<Store, 'putJobs'>;
  readonly appOf: (app: AppId) => AppDefinition | null;
  readonly nowMs: () => number;
  readonly counts: RouterCounts;
  /** There is something to run. */
  readonly onPut: () => void;
}

export class Notices {
  readonly #options: NoticesOptions;
  readonly #jobs: Collector<Job, void>;
  constructor(options: NoticesOptions) {
    this.#options = options;
    this.#jobs = openCollector<Job, void>({
      questionsMax: NOTICES_MAX,
      run: async (jobs) => {
        await options.store.putJobs(jobs);
        options.onPut();
        return [];
      },
    });
  }

  /** The message waits for these devices, which are offline. Rejects as the store does. */
  async waiting(out: NoticedMessage, devices: readonly DeviceId[]): Promise<void> {
    await this.#put(out, devices, (device) => ({ event: 'waiting', ...this.#about(out, device) }));
  }
  /** The streams of these devices were full. Rejects as the store does. */
  async dead(out: NoticedMessage, devices: readonly DeviceId[]): Promise<void> {
    await this.#put(out, devices, (device) => ({
      event: 'dead-letter',
      reason: 'stream-full',
      attempts: 0,
      ...this.#about(out, device),
    }));
  }

  #about(out: NoticedMessage, device: DeviceId) {
    return { device, messageId: out.id, stream: `@${out.lane}`, atMs: this.#options.nowMs() } as const;
  }
  async #put(out: NoticedMessage, devices: readonly DeviceId[], noticeOf: (device: DeviceId) => Notice): Promise<void> {
    const [first] = devices;
    if (first === undefined) return;
    const app = this.#options.appOf(out.app);
    if (app === null || !isNoticeWanted(app, noticeOf(first).event)) return;
    this.#options.counts.notices += devices.length;
    await Promise.all(devices.map((device) => this.#jobs.ask(noticeJob(out.app, noticeOf(device)))));
  }
}
