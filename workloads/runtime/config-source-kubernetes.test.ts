import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { aManualClock } from './clock.ts';
import { openKubernetesConfig } from './config-source-kubernetes.ts';
import { silentLog } from './log.ts';

function aConfigMap(text: string, name = 'apps'): object {
  return { metadata: { name }, data: { 'apps.json': text } };
}

/** An API server that knows one list and holds watches open for the test to write to. */
async function anApiServer(t: TestContext) {
  const asked: URL[] = [];
  const watches: ServerResponse[] = [];
  const server = { text: 'one', failing: false };
  const waiting: (() => void)[] = [];
  const http = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://x');
    asked.push(url);
    if (server.failing) response.writeHead(500).end();
    else if (url.searchParams.get('watch') === 'true') {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      watches.push(response);
    } else {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ metadata: { resourceVersion: '7' }, items: [aConfigMap(server.text)] }));
    }
    for (const wake of waiting.splice(0)) wake();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    http.close();
    http.closeAllConnections();
  });
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromOptions({
    clusters: [{ name: 'c', server: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, skipTLSVerify: true }],
    users: [{ name: 'u' }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  });
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await Promise.race([new Promise<void>((resolve) => waiting.push(resolve)), turn()]);
  };
  return { server, asked, watches, kubeConfig, until };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function anOpened(t: TestContext, kubeConfig: KubeConfig) {
  const clock = aManualClock();
  const texts: string[] = [];
  const source = openKubernetesConfig({ namespace: 'ns', clock, log: silentLog, random: () => 0.5, kubeConfig });
  const stop = source.watch('apps', 'apps.json', (text) => texts.push(text));
  t.after(stop);
  return { clock, texts, stop };
}
const event = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`;

test('gives the text as listed, then each change, never the same twice; only that ConfigMap is asked for', async (t) => {
  const api = await anApiServer(t);
  const { texts } = anOpened(t, api.kubeConfig);
  await api.until(() => api.watches.length === 1);
  api.watches[0]!.write(event('ADDED', aConfigMap('one')) + event('MODIFIED', aConfigMap('two')));
  api.watches[0]!.write(event('BOOKMARK', { metadata: {} }) + event('MODIFIED', aConfigMap('other', 'elsewhere')));
  api.watches[0]!.write(event('DELETED', aConfigMap('two')) + event('MODIFIED', aConfigMap('three')));
  await api.until(() => texts.length === 3);
  assert.deepEqual(texts, ['one', 'two', 'three']);
  for (const url of api.asked) assert.equal(url.searchParams.get('fieldSelector'), 'metadata.name=apps');
  assert.equal(api.asked[1]!.searchParams.get('resourceVersion'), '7');
});

test('a watch that ends, or says it is too old, is followed by a new list', async (t) => {
  const api = await anApiServer(t);
  const { clock, texts } = anOpened(t, api.kubeConfig);
  await api.until(() => api.watches.length === 1);
  api.server.text = 'later';
  api.watches[0]!.end();
  await api.until(() => clock.pending() === 1);
  clock.advance(500);
  await api.until(() => api.watches.length === 2);
  assert.deepEqual(texts, ['one', 'later']);
  api.server.text = 'latest';
  api.watches[1]!.write(event('ERROR', { code: 410 }));
  await api.until(() => clock.pending() === 1);
  clock.advance(500);
  await api.until(() => texts.length === 3);
  assert.deepEqual(texts, ['one', 'later', 'latest']);
});

test('failures are tried again after a wait that doubles, and the text before stays', async (t) => {
  const api = await anApiServer(t);
  api.server.failing = true;
  const { clock, texts } = anOpened(t, api.kubeConfig);
  for (const waitMs of [375, 750, 1500]) {
    const asked = api.asked.length;
    await api.until(() => clock.pending() === 1);
    clock.advance(waitMs - 1);
    await turn();
    assert.equal(clock.pending(), 1);
    if (waitMs === 1500) api.server.failing = false;
    clock.advance(1);
    await api.until(() => api.asked.length > asked);
  }
  await api.until(() => texts.length === 1);
  assert.deepEqual(texts, ['one']);
});

test('after stop nothing is asked or given any more', async (t) => {
  const api = await anApiServer(t);
  const { clock, texts, stop } = anOpened(t, api.kubeConfig);
  await api.until(() => api.watches.length === 1);
  const closed = new Promise((resolve) => api.watches[0]!.once('close', resolve));
  stop();
  await closed;
  await turn();
  assert.equal(clock.pending(), 0);
  assert.deepEqual(texts, ['one']);
});
