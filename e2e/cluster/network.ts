// The namespace's own network and mounts: loopback, the bridge with the nodes' addresses, routes that keep every
// packet inside, and fresh /run, /var/lib and /var/log, so that nothing is written to the host's.
// Runs inside the namespace only; bring-up.ts calls it first.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { runCommand } from './command.ts';
import { bridgeName, dnsServiceIp, podRange, serviceRange } from './layout.ts';
import type { ClusterLayout } from './layout.ts';

/**
 * Kernel settings of this network namespace. Listen queues and ports: load tests open 19,000 connections from one
 * address within seconds. Forwarding: pods reach each other through this namespace's routes.
 */
const kernelSettings: Readonly<Record<string, string>> = {
  'net/ipv4/ip_forward': '1',
  'net/core/somaxconn': '65535',
  'net/ipv4/tcp_max_syn_backlog': '65535',
  'net/ipv4/ip_local_port_range': '10000 65535',
  'net/ipv4/tcp_tw_reuse': '1',
};

/**
 * Makes the mounts. Shared afterwards, as the kubelet expects, but only within this namespace: unshare has cut the
 * propagation to the host before.
 */
export async function makeMounts(layout: ClusterLayout): Promise<void> {
  await runCommand(['mount', '--make-rshared', '/']);
  // netns handles of pods, sockets, locks: all under /run, and all gone with the namespace.
  await runCommand(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'run', '/run']);
  for (const node of layout.nodes) mkdirSync(node.runFolder, { recursive: true });
  const scratch = '/run/pushcluster/overlay';
  for (const target of ['/var/lib', '/var/log']) {
    const upper = join(scratch, target, 'upper');
    const work = join(scratch, target, 'work');
    mkdirSync(upper, { recursive: true });
    mkdirSync(work, { recursive: true });
    const options = `lowerdir=${target},upperdir=${upper},workdir=${work}`;
    await runCommand(['mount', '-t', 'overlay', '-o', options, 'overlay', target]);
  }
}

/** Makes bridge, addresses and routes. Needs a fresh network namespace. */
export async function makeNetwork(layout: ClusterLayout): Promise<void> {
  const ip = requirePart('ip');
  const lines = [
    'link set lo up',
    `link add ${bridgeName} type bridge`,
    ...layout.nodes.map((node) => `addr add ${node.ip}/32 dev ${bridgeName}`),
    `link set ${bridgeName} up`,
    // An address of a range that nobody has must fail here; there is no other way out of the namespace anyway.
    `route add ${podRange} dev ${bridgeName}`,
    `route add ${serviceRange} dev ${bridgeName}`,
  ];
  await runCommand([ip, '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
  for (const [name, value] of Object.entries(kernelSettings)) writeFileSync(join('/proc/sys', name), value);
}

/**
 * Points the namespace's resolver at the cluster's DNS, so that tests use the names that pods use. A bind mount,
 * seen here only.
 */
export async function useClusterDns(layout: ClusterLayout): Promise<void> {
  const file = join(layout.folder, 'resolv.conf');
  const search = 'search default.svc.cluster.local svc.cluster.local cluster.local';
  writeFileSync(file, `nameserver ${dnsServiceIp}\n${search}\noptions ndots:5\n`);
  // Where there is no such file the resolver asks loopback, and nothing can be mounted over it.
  if (isReadable('/etc/resolv.conf')) await runCommand(['mount', '--bind', file, '/etc/resolv.conf']);
}

function isReadable(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}
