// The demo device of `npm start`: one SDK client over the real wire that prints what it is given, so that a newcomer sees a push
// arrive in the same terminal. main.ts opens it once the cluster is Ready.
import { openClient } from '../client/client.ts';
import type { Client } from '../client/client.ts';
import type { DemoAccess } from './demo-access.ts';
import { signDeviceCredential } from './demo-access.ts';

export interface DemoDeviceOptions {
  readonly registryUrl: string;
  readonly access: DemoAccess;
  readonly app: string;
  readonly print: (line: string) => void;
  /** It is connected for the first time. */
  readonly onLive: () => void;
}

/** Account `ada`, device `phone-1`. */
export const DEMO_DEVICE = { account: 'ada', device: 'phone-1' } as const;
/** Of the examples; heard where the app allows it. */
const DEMO_TOPIC = 'news';

/** Connects and stays connected until closed. */
export async function openDemoDevice(options: DemoDeviceOptions): Promise<Client> {
  const { access, app, print } = options;
  let wasLive = false; // registering and waiting are of interest only after that
  const client = await openClient({
    registryUrl: options.registryUrl,
    app,
    ...DEMO_DEVICE,
    credential: () => signDeviceCredential(access, { app, ...DEMO_DEVICE }),
    onMessage: ({ stream, body }) => print(`${DEMO_DEVICE.device} got ${JSON.stringify(body)} on ${stream}`),
    onState: ({ kind, gateway, problem }) => {
      if (kind === 'live') {
        if (!wasLive) options.onLive();
        wasLive = true;
        print(`${DEMO_DEVICE.device} is live at ${gateway}`);
      } else if (wasLive && kind !== 'closed')
        print(`${DEMO_DEVICE.device} is ${kind}${problem === null ? '' : ` (${problem})`}`);
    },
  });
  // So that the example with a topic is heard too; an app that does not allow it says so, and nothing is lost by that.
  client.subscribe(DEMO_TOPIC).catch(() => {});
  return client;
}
