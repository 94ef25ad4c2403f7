// Cuts the link from one pod to another and nothing else: packets to its link port are dropped on the way, as by a firewall rule gone wrong.
import type { Pod } from '../cluster/kubectl.ts';
import { runCommand } from '../cluster/command.ts';
import { liveCluster } from '../cluster/live.ts';
import { requirePart } from '../setup/parts.ts';

const TABLE = 'pushcluster_cut_links';
const LINK_PORT = 7070;

/** Answers how to heal it. Packets of the other direction pass: the answer to nothing. */
export async function cutLink(from: Pod, to: Pod): Promise<() => Promise<void>> {
  liveCluster();
  const rule = `ip saddr ${from.status.podIP} ip daddr ${to.status.podIP} tcp dport ${LINK_PORT} drop`;
  const script = [
    `add table ip ${TABLE}`,
    `add chain ip ${TABLE} forward { type filter hook forward priority -310 ; }`,
    `add chain ip ${TABLE} prerouting { type filter hook prerouting priority -310 ; }`,
    `add rule ip ${TABLE} forward ${rule}`,
    `add rule ip ${TABLE} prerouting ${rule}`,
  ].join('\n');
  await runCommand([requirePart('nft'), '-f', '-'], { stdin: `${script}\n` });
  return async () => void (await runCommand([requirePart('nft'), 'delete', 'table', 'ip', TABLE]));
}
