// Commands about devices: where they are, what waits for them, what happened to them; an account's devices; a topic's subscribers.
import { TOPIC_ALL, parseAccountId, parseDeviceId, parseTopicName } from '../../../protocol/ids.ts';
import type { Store } from '../../../store/port.ts';
import type { CommandTable } from '../commands.ts';
import { Input } from '../input.ts';
import { accountPresence, devicePresence } from '../presence.ts';
import type { PresenceDeps } from '../presence.ts';
import { traceDevice } from '../../results/trace.ts';
import type { TraceOptions } from '../../results/trace.ts';
import { waitingFor } from '../../results/waiting.ts';
import { PAGE } from './answers.ts';
import { describeTrace } from './messages.ts';

export interface DevicesDeps {
  readonly presence: PresenceDeps;
  readonly trace: TraceOptions;
  readonly store: Pick<Store, 'topicSubscribers' | 'read' | 'device'>;
}

export function deviceCommands(deps: DevicesDeps): CommandTable {
  return {
    async device({ app, input }) {
      const device = new Input(input, ['device']).name('device', parseDeviceId);
      return { status: 200, body: await devicePresence(deps.presence, app, device) };
    },
    async 'device-waiting'({ app, input }) {
      const device = new Input(input, ['device']).name('device', parseDeviceId);
      return { status: 200, body: await waitingFor(deps.store, app.name, device) };
    },
    async 'device-trace'({ app, input }) {
      const device = new Input(input, ['device']).name('device', parseDeviceId);
      return { status: 200, body: { device, ...describeTrace(await traceDevice(deps.trace, app.name, device)) } };
    },
    async 'account-devices'({ app, input }) {
      const account = new Input(input, ['account']).name('account', parseAccountId);
      return { status: 200, body: await accountPresence(deps.presence, app, account) };
    },
    async 'topic-subscribers'({ app, input }) {
      const fields = new Input(input, ['topic', 'cursor', 'limit']);
      const topic = fields.name('topic', (value, field) => parseTopicName(value, field, value === TOPIC_ALL));
      const page = { after: fields.optionalName('cursor', parseDeviceId), limit: fields.whole('limit', PAGE) };
      const { count, devices } = await deps.store.topicSubscribers(app.name, topic, page);
      const next = devices.length < page.limit ? null : devices.at(-1)!;
      return { status: 200, body: { topic, count, devices, next } };
    },
  };
}
