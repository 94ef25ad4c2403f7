// The table of what a machine needs for the e2e tests: what each part is for and where it comes from.
// main.ts gets them; tests ask `findPart` for a path, or `missingPart` for the reason to skip. To add a program
// built from Go (KEDA, toxiproxy), add its folder under go/ and its rows here; nothing else changes. So with jars under java/.

import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { groupFolder } from './cache.ts';
import { programFolders } from './settings.ts';

/** Built from a pinned Go module: the group's folder under go/ and the package in it. */
export interface GoSource {
  readonly kind: 'go';
  readonly group: string;
  readonly package: string;
  /** Build tags: they leave out what a test does not need. */
  readonly tags?: readonly string[];
  /** Passed to the linker for the version that the program reports. */
  readonly stamp?: readonly string[];
}

/** Jars of a pinned pom: the group's folder under java/. The part is a launcher that runs any main class of theirs. */
export interface MavenSource {
  readonly kind: 'maven';
  readonly group: string;
}

/** Installed from a Debian package; any program of that name on the machine will do. */
export interface DebianSource {
  readonly kind: 'debian';
  readonly package: string;
}

/** One program. Seconds: measured cold on 2 cores, shown so that nobody takes a long build for a hang. */
export interface Part {
  readonly name: string;
  readonly for: string;
  readonly source: GoSource | MavenSource | DebianSource;
  readonly seconds: number;
  /** Skip the build where the machine has any version of the program already. */
  readonly acceptInstalled?: boolean;
}

const kubernetesVersion = { major: '1', minor: '36', patch: '3' } as const;

/** Without a stamp Kubernetes reports v0.0.0, and clients that check versions refuse it. */
const kubernetesStamp: readonly string[] = [
  `k8s.io/component-base/version.gitVersion=v${kubernetesVersion.major}.${kubernetesVersion.minor}.${kubernetesVersion.patch}`,
  `k8s.io/component-base/version.gitMajor=${kubernetesVersion.major}`,
  `k8s.io/component-base/version.gitMinor=${kubernetesVersion.minor}`,
];

function kubernetes(name: string, purpose: string, seconds: number): Part {
  const source: GoSource = {
    kind: 'go',
    group: 'kubernetes',
    package: `k8s.io/kubernetes/cmd/${name}`,
    stamp: kubernetesStamp,
  };
  return { name, for: purpose, source, seconds };
}

function go(name: string, purpose: string, source: Omit<GoSource, 'kind'> & { readonly seconds: number }): Part {
  const { seconds, ...rest } = source;
  return { name, for: purpose, source: { kind: 'go', ...rest }, seconds };
}

function debian(name: string, purpose: string, packageName: string = name): Part {
  return { name, for: purpose, source: { kind: 'debian', package: packageName }, seconds: 2 };
}

const containerdModule = 'github.com/containerd/containerd/v2/cmd';

/** Every part, in the order in which they are made: the longest shared compile first. */
export const parts: readonly Part[] = [
  debian('runc', 'starts the containers of pods'),
  debian('ptp', 'CNI plugin: links a pod to its node', 'containernetworking-plugins'),
  debian('host-local', 'CNI plugin: gives pods their addresses', 'containernetworking-plugins'),
  debian('nft', 'firewall rules of kube-proxy and of fault scenarios', 'nftables'),
  debian('conntrack', 'kube-proxy drops stale UDP flows with it'),
  debian('ip', 'the cluster’s own links and routes', 'iproute2'),
  debian('openssl', 'certificates of the control plane'),
  debian('busybox', 'the tiny image of the smoke test, and a shell next to a pod', 'busybox-static'),
  debian('promtool', 'checks the rules that the chart ships', 'prometheus'),
  debian('redis-server', 'the store', 'redis-server'),
  debian('redis-cli', 'makes and inspects a Redis cluster', 'redis-tools'),
  debian('java', 'runs Kafka (17 or newer)', 'default-jre-headless'),
  debian('mvn', 'gets Kafka’s jars', 'maven'),
  debian('postgres', 'the database that upstream messages are stored in', 'postgresql'),
  debian('initdb', 'makes an empty one', 'postgresql'),
  { name: 'kafka', for: 'the bus', source: { kind: 'maven', group: 'kafka' }, seconds: 40 },
  kubernetes('kube-apiserver', 'the Kubernetes API', 245),
  kubernetes('kube-controller-manager', 'StatefulSets, endpoints, the HPA', 55),
  kubernetes('kube-scheduler', 'puts pods on nodes', 5),
  kubernetes('kubelet', 'runs a node’s pods', 17),
  kubernetes('kube-proxy', 'makes Services reachable', 7),
  { ...kubernetes('kubectl', 'the command line of every scenario', 20), acceptInstalled: true },
  go('etcd', 'keeps the API’s objects', { group: 'etcd', package: 'go.etcd.io/etcd/server/v3', seconds: 25 }),
  go('containerd', 'runs containers', { group: 'containerd', package: `${containerdModule}/containerd`, seconds: 55 }),
  go('containerd-shim-runc-v2', 'one for each pod, between containerd and runc', {
    group: 'containerd',
    package: `${containerdModule}/containerd-shim-runc-v2`,
    seconds: 2,
  }),
  go('ctr', 'imports images, finds a container’s process', {
    group: 'containerd',
    package: `${containerdModule}/ctr`,
    seconds: 4,
  }),
  go('pause', 'the container that holds a pod’s namespaces', { group: 'pause', package: '.', seconds: 1 }),
  go('coredns', 'names of services', { group: 'coredns', package: 'github.com/coredns/coredns', seconds: 105 }),
  go('prometheus', 'metrics for the autoscaling scenarios', {
    group: 'prometheus',
    package: 'github.com/prometheus/prometheus/cmd/prometheus',
    tags: ['remove_all_sd', 'enable_kubernetes_sd'],
    seconds: 110,
  }),
  go('prometheus-adapter', 'custom metrics for the HPA', {
    group: 'prometheus-adapter',
    package: 'sigs.k8s.io/prometheus-adapter/cmd/adapter',
    seconds: 100,
  }),
  go('helm', 'installs the chart as a user does', { group: 'helm', package: 'helm.sh/helm/v3/cmd/helm', seconds: 60 }),
];

/** Group names for `--only`: each folder under go/ and java/, and `debian`. */
export const groups: readonly string[] = [...new Set(parts.map((part) => groupOf(part)))];

/** The group that gets a part: `debian` or the folder under go/ or java/. */
export function groupOf(part: Part): string {
  return part.source.kind === 'debian' ? 'debian' : part.source.group;
}

/** Where a part's own file lies or will lie in the cache; none for Debian's. */
export function builtPath(part: Part): string | undefined {
  return part.source.kind === 'debian' ? undefined : join(groupFolder(part.source), part.name);
}

/** The path of a part's program, or undefined when it has to be got first. Costs a few stat calls. */
export function findPart(name: string): string | undefined {
  const part = parts.find((candidate) => candidate.name === name);
  if (part === undefined) throw new Error(`no part is called ${name}; e2e/setup/parts.ts lists them`);
  const built = builtPath(part);
  if (built !== undefined && isProgram(built)) return built;
  if (built !== undefined && part.acceptInstalled !== true) return undefined;
  return programFolders()
    .map((folder) => join(folder, part.name))
    .find(isProgram);
}

/** Whether a part is on this machine. */
export function hasPart(name: string): boolean {
  return findPart(name) !== undefined;
}

/** Why a test that needs these parts has to be skipped, with the command that gets them; undefined when all are there. */
export function missingPart(...names: readonly string[]): string | undefined {
  const missing = names.filter((name) => !hasPart(name));
  if (missing.length === 0) return undefined;
  const wanted = new Set(parts.filter((part) => missing.includes(part.name)).map(groupOf));
  return `needs ${missing.join(', ')}: npm run setup -- --only ${[...wanted].join(',')}`;
}

/** The path of a part that has to be there. Throws with the command that gets it. */
export function requirePart(name: string): string {
  const path = findPart(name);
  if (path === undefined) throw new Error(missingPart(name) ?? `${name} is missing`);
  return path;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
