// What `npm start` says once it is ready: where everything listens, and lines to try it with. main.ts prints it.
import { DEMO_DEVICE } from './demo-device.ts';
import type { Embedded } from './embedded.ts';

export async function describeWelcome(embedded: Embedded, seconds: number): Promise<string> {
  const status = await embedded.status();
  const router = status?.routerAddress ?? '';
  const registry = status?.registryAddress ?? '';
  const message = JSON.stringify({ target: { device: DEMO_DEVICE.device }, body: { hello: 'world' } });
  const gateways = (status?.gateways ?? []).map(({ address, name }) => `  gateway    ${address}  ${name}`);
  const metrics = (await embedded.admins()).map(({ pod, address }) => `  metrics    ${address}/metrics  ${pod}`);
  return [
    `\nPushCluster ${embedded.name} is ready after ${seconds.toFixed(1)} s`,
    `  push API   ${router}/v1/messages      (OpenAPI: ${router}/v1/openapi.json)`,
    `  registry   ${registry}/v1/register`,
    ...gateways,
    ...metrics,
    `\nPush something:`,
    `  curl -s ${router}/v1/messages -H 'authorization: Bearer ${embedded.access.apiKey}' \\`,
    `    -H 'content-type: application/json' -d '${message}'`,
    `\nOne more device, which sends what you type to it, from another terminal here:`,
    `  npm run device -- bob phone-2 --app ${embedded.apps[0] ?? ''} --registry ${registry} \\`,
    `    --access ${embedded.accessPath}\n`,
  ].join('\n');
}
