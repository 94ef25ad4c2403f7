// Scheduled messages: kept with all they need, sent by a job when due. In a stream a message gets its offset only then (design R6).
// Whoever runs the job first takes the message out of 'scheduled', so that a cancel either comes before and nothing is sent, or after.
import type { DeviceId } from '../../protocol/ids.ts';
import type { Message, Store } from '../../store/port.ts';
import type { Hints } from '../delivery/hints.ts';
import type { JobHandler } from './jobs.ts';
import { outgoingOf, rowOf } from './compose.ts';
import type { Outgoing } from './compose.ts';
import type { DeviceSender } from './devices.ts';
import { expandJob, messageOfJob, sendJob } from './list.ts';
import { sendToTopic } from './topic.ts';

export interface SchedulerOptions {
  readonly store: Pick<Store, 'messages' | 'changeMessage' | 'putMessages' | 'putJobs' | 'accountDevices'>;
  readonly hints: Hints;
  readonly sender: DeviceSender;
  readonly onJob: () => void;
}

/** Keeps a message for one device, one account or a topic until it is due; idempotent. Rejects as the store does. */
export async function schedule({ store, onJob }: SchedulerOptions, out: Outgoing): Promise<void> {
  await store.putMessages([rowOf(out, { state: 'scheduled', recipients: 1, withRecord: true })], []);
  await store.putJobs([sendJob(out)]);
  onJob();
}

/** Runs jobs of kind 'send'. */
export function sendScheduled(options: SchedulerOptions): JobHandler {
  const { store } = options;
  return async (job) => {
    const id = messageOfJob(job);
    // 'accepted' as well: a run before this one may have ended half-way; sending again is idempotent.
    const row = await store.changeMessage(job.app, id, { state: 'accepted', expect: ['scheduled', 'accepted'] });
    const out = row === null ? null : outgoingOf(row);
    if (row === null || out === null) return 'done';
    await sendNow(options, row, out);
    return 'done';
  };
}

async function sendNow(options: SchedulerOptions, row: Message, out: Outgoing): Promise<void> {
  const { target } = row;
  switch (target.kind) {
    case 'device':
      return await sendToDevices(options, out, [target.device]);
    case 'account':
      return await sendToDevices(options, out, await options.store.accountDevices(row.app, target.account));
    case 'topic':
      return void (await sendToTopic(options, out, target.topic));
    default:
      await options.store.putJobs([expandJob(row)]);
      options.onJob();
  }
}

/** Nobody waits for an answer: what a full stream does not take is dead-lettered, and the app told. */
async function sendToDevices(options: SchedulerOptions, out: Outgoing, devices: readonly DeviceId[]): Promise<void> {
  await options.sender.send(out, devices, 'dead-letter');
}
