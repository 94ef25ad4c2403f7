// Word for apps that want to know when a device came or went: a job each (protocol/notices.ts), put with the others of its tick. Only for
// sessions whose token says that the app wants it (the registry knows), so that nobody else pays for it. Best effort and bounded: the
// route map is the truth about who is online, and a notice of an older session that comes late tells nothing.
import { noticeJob } from '../../protocol/notices.ts';
import type { Job } from '../../store/port.ts';
import type { Gateway } from '../gateway.ts';
import type { Session } from './session.ts';

/** Notices that wait for the store, about 300 bytes each; more are dropped and counted. */
export const PRESENCE_WAITING_MAX = 20_000;
const JOBS_PER_CALL = 200;
const RETRY_MS = 1000;

export class PresenceNotices {
  readonly #gateway: Gateway;
  #waiting: Job[] = [];
  #busy = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** The session stands in the store, or has ended without a newer one. */
  note(session: Session, online: boolean): void {
    const { permission, generation } = session;
    if (!permission.presence) return;
    const { counts, name, clock } = this.#gateway;
    if (this.#waiting.length >= PRESENCE_WAITING_MAX) {
      counts.presenceDropped++;
      return;
    }
    const { app, account, device } = permission;
    const notice = { event: 'presence', device, account, online, gateway: name, generation } as const;
    this.#waiting.push(noticeJob(app, { ...notice, atMs: clock.nowMs() }));
    if (this.#busy) return;
    this.#busy = true;
    setImmediate(() => void this.#put());
  }

  /** Puts all that waits; resolves when it is done or the store failed. */
  async flush(): Promise<void> {
    await this.#putAll();
  }

  async #put(): Promise<void> {
    const done = this.#gateway.state.ended || (await this.#putAll());
    if (done) this.#busy = false;
    else this.#gateway.clock.after(RETRY_MS, () => void this.#put());
  }

  async #putAll(): Promise<boolean> {
    const { store, counts, log } = this.#gateway;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, JOBS_PER_CALL);
      try {
        await store.putJobs(batch); // a job that is there already changes nothing
      } catch (error) {
        log.warn({ jobs: this.#waiting.length, problem: String(error) }, 'presence not told, again later');
        return false;
      }
      counts.presenceTold += batch.length;
      this.#waiting = this.#waiting.slice(batch.length);
    }
    return true;
  }
}
