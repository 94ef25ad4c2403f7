// kubectl for scenarios: what a user would type, with bounded time, and typed answers where a test reads them.
// Works with any cluster, ours or the one that KUBECONFIG names.

import { requirePart } from '../setup/parts.ts';
import { CommandFailed, runCommand, tryCommand } from './command.ts';
import type { CommandOptions, CommandResult } from './command.ts';
import { waitFor } from './wait.ts';

/** The fields that every object has, and the rest as it came. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The part of a pod that scenarios read. */
export interface Pod extends KubeObject {
  readonly spec: { readonly nodeName?: string; readonly containers: readonly { readonly name: string }[] };
  readonly status: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

/** One container's state. */
export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  /** `containerd://<id>`; empty until it has been made. */
  readonly containerID?: string;
}

/** Runs kubectl and returns its standard output. Throws {@link CommandFailed} with what it said. */
export async function kubectl(args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return await runCommand([requirePart('kubectl'), ...args], options);
}

/** Runs kubectl and tells how it ended, for what is expected to fail. */
export async function tryKubectl(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return await tryCommand([requirePart('kubectl'), ...args], options);
}

/** Applies manifests: YAML text, or objects. Waits for nothing. */
export async function apply(manifests: string | readonly unknown[]): Promise<void> {
  await kubectl(['apply', '-f', '-'], { stdin: toText(manifests) });
}

/** Deletes what the manifests name, and waits until it is gone unless told otherwise. */
export async function remove(
  manifests: string | readonly unknown[],
  options: { readonly wait?: boolean } = {},
): Promise<void> {
  const wait = `--wait=${options.wait ?? true}`;
  await kubectl(['delete', '--ignore-not-found', wait, '-f', '-'], { stdin: toText(manifests), timeoutMs: 120_000 });
}

/** One object, or undefined when there is none. `kind` as kubectl takes it; namespace for what has one. */
export async function getObject<T extends KubeObject = KubeObject>(
  kind: string,
  name: string,
  namespace?: string,
): Promise<T | undefined> {
  const words = ['get', kind, name, '-o', 'json', '--ignore-not-found', ...inNamespace(namespace)];
  const text = await kubectl(words);
  return text.trim() === '' ? undefined : (JSON.parse(text) as T);
}

/** The objects of a kind, in a namespace, narrowed by a label selector. */
export async function listObjects<T extends KubeObject = KubeObject>(
  kind: string,
  options: { readonly namespace?: string; readonly selector?: string } = {},
): Promise<readonly T[]> {
  const selector = options.selector === undefined ? [] : ['-l', options.selector];
  const text = await kubectl(['get', kind, '-o', 'json', ...inNamespace(options.namespace), ...selector]);
  return (JSON.parse(text) as { items: T[] }).items;
}

/** Waits until a pod is Ready (its containers run and its readiness probes pass) and returns it. */
export async function waitForPod(namespace: string, name: string, timeoutMs = 60_000): Promise<Pod> {
  return await waitFor(
    `pod ${namespace}/${name} to be Ready`,
    async () => {
      const pod = await getObject<Pod>('pod', name, namespace);
      return pod !== undefined && isPodReady(pod) ? pod : undefined;
    },
    { timeoutMs, intervalMs: 150 },
  );
}

/** Whether a pod's Ready condition holds and it is not being deleted. */
export function isPodReady(pod: Pod): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  return (pod.status.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True');
}

/** Asks the API server for a path as it is, and parses the answer. */
export async function getRaw<T>(path: string): Promise<T> {
  return JSON.parse(await kubectl(['get', '--raw', path])) as T;
}

function inNamespace(namespace: string | undefined): readonly string[] {
  return namespace === undefined ? [] : ['-n', namespace];
}

/** JSON and not YAML: Kubernetes reads YAML 1.1, in which a plain `no` is false; JSON means one thing. */
function toText(manifests: string | readonly unknown[]): string {
  return typeof manifests === 'string'
    ? manifests
    : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests });
}

export { CommandFailed };
