// Whether an address is out in the open: webhooks may not be used to reach what only a cluster's own pods can (metadata services, other
// pods, loopback). signed-post.ts asks for every address that a name resolves to, at the moment of connecting. Pure.
import { BlockList, isIP } from 'node:net';

const closed = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  closed.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of [
  ['::', 96], // unspecified, loopback, and IPv4 written into IPv6 the old way
  ['64:ff9b::', 96], // IPv4 behind a translator, which may know private ones
  ['64:ff9b:1::', 48],
  ['2001::', 32], // IPv4 within a tunnel
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 9], // link-local, and site-local as it once was
  ['ff00::', 8],
] as const)
  closed.addSubnet(net, prefix, 'ipv6');

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** False for private, loopback, link-local, multicast and reserved addresses, and for what is no address. */
export function isPublicAddress(address: string): boolean {
  const bare = MAPPED.exec(address)?.[1] ?? address;
  const family = isIP(bare);
  if (family === 0) return false;
  // An IPv4 address written into IPv6 in hexadecimal: BlockList sees through it only this way round.
  if (family === 6 && /^::ffff:/i.test(bare)) return false;
  return !closed.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}
