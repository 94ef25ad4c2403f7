// What a failed scenario prints before it ends, so that one reading of the log tells the cause: the resource, pods, events, and the last
// words of operator, gateways, router and registry. Scenarios wrap their work in `explained`.
import { kubectl, tryKubectl } from '../cluster/kubectl.ts';
import { operatorNamespace } from './operator.ts';

const LOG_LINES = 40;

/** Runs a scenario's work; when it throws, prints the namespace's state first. Rethrows. */
export async function explained<T>(namespace: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    process.stdout.write(`\n---- what was seen in ${namespace} ----\n${await describeNamespace(namespace)}\n----\n`);
    throw error;
  }
}

async function describeNamespace(namespace: string): Promise<string> {
  const questions: readonly (readonly string[])[] = [
    ['get', 'pushclusters', '-n', namespace, '-o', 'yaml'],
    ['get', 'pods', '-n', namespace, '-o', 'wide'],
    ['get', 'events', '-n', namespace, '--sort-by=.lastTimestamp'],
    ['get', 'pods', '-n', operatorNamespace, '-o', 'wide'],
  ];
  const answers = await Promise.all(questions.map(async (words) => await ask(words)));
  const logs = await Promise.all([
    logsOf(operatorNamespace, []),
    ...['gateway', 'router', 'registry', 'store'].map(
      async (component) => await logsOf(namespace, ['-l', `app.kubernetes.io/component=${component}`]),
    ),
  ]);
  return [...answers, ...logs].join('\n');
}

async function ask(words: readonly string[]): Promise<string> {
  const { stdout, stderr } = await tryKubectl(words, { timeoutMs: 15_000 });
  return `# kubectl ${words.join(' ')}\n${stdout.slice(-12_000)}${stderr.slice(-1_000)}`;
}

async function logsOf(namespace: string, selection: readonly string[]): Promise<string> {
  let names: string;
  try {
    names = await kubectl(['get', 'pods', '-n', namespace, '-o', 'name', ...selection], { timeoutMs: 15_000 });
  } catch (error) {
    return String(error);
  }
  const pods = names.split('\n').filter((name) => name !== '');
  const tails = pods.map(
    async (pod) => await ask(['logs', '-n', namespace, pod, `--tail=${LOG_LINES}`, '--all-containers']),
  );
  return (await Promise.all(tails)).join('\n');
}
