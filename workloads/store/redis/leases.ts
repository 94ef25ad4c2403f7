// Leases in Redis: of gateways' lives (R7), and of routers and drainers, by which they are found. Called by redis-store.ts.
import { LEASES, roleLeasesKey } from './keys.ts';
import {
  DROP_LEASE,
  DROP_ROLE_LEASE,
  LEASES_NOW,
  RENEW_LEASE,
  RENEW_ROLE_LEASE,
  ROLE_LEASES_NOW,
  SWEEP_LEASES,
} from './scripts/leases.ts';
import { askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type * as port from '../port.ts';
import type { BootId, GatewayName } from '../../protocol/ids.ts';

export const LEASE_SCRIPTS = [
  DROP_LEASE,
  DROP_ROLE_LEASE,
  LEASES_NOW,
  RENEW_LEASE,
  RENEW_ROLE_LEASE,
  ROLE_LEASES_NOW,
  SWEEP_LEASES,
] as const;

export async function renewLease(
  topology: Topology,
  lease: port.GatewayLease,
  ttlMs: number,
): Promise<'kept' | 'void'> {
  const { gateway, bootId, linkAddress, connections, startedAtMs } = lease;
  const args = [gateway, bootId, linkAddress, connections, startedAtMs, ttlMs];
  return (await askOne(topology, RENEW_LEASE, { ...LEASES, args })) === 1 ? 'kept' : 'void';
}

export async function dropLease(topology: Topology, gateway: GatewayName, bootId: BootId): Promise<void> {
  await askOne(topology, DROP_LEASE, { ...LEASES, args: [gateway, bootId] });
}

export async function leases(topology: Topology): Promise<readonly port.GatewayLease[]> {
  const flat = listOf(await askOne(topology, LEASES_NOW, { ...LEASES, args: [] }));
  const out: port.GatewayLease[] = [];
  for (let i = 0; i + 4 < flat.length; i += 5) {
    out.push({
      gateway: textOf(flat[i]) as GatewayName,
      bootId: textOf(flat[i + 1]) as BootId,
      linkAddress: textOf(flat[i + 2]),
      connections: numberOf(flat[i + 3]),
      startedAtMs: numberOf(flat[i + 4]),
    });
  }
  return out;
}

/** Removes the leases that have run out. */
export async function sweepLeases(topology: Topology): Promise<void> {
  await askOne(topology, SWEEP_LEASES, { ...LEASES, args: [] });
}

export async function renewRoleLease(topology: Topology, lease: port.RoleLease, ttlMs: number): Promise<void> {
  const { role, name, bootId, linkAddress } = lease;
  await askOne(topology, RENEW_ROLE_LEASE, { ...roleLeasesKey(role), args: [bootId, name, linkAddress, ttlMs] });
}

export async function dropRoleLease(topology: Topology, role: port.RoleLease['role'], bootId: BootId): Promise<void> {
  await askOne(topology, DROP_ROLE_LEASE, { ...roleLeasesKey(role), args: [bootId] });
}

export async function roleLeases(topology: Topology, role: port.RoleLease['role']): Promise<readonly port.RoleLease[]> {
  const rows = listOf(await askOne(topology, ROLE_LEASES_NOW, { ...roleLeasesKey(role), args: [] }));
  return rows.map((row) => {
    const [bootId, name, linkAddress] = listOf(row);
    return { role, name: textOf(name), bootId: textOf(bootId) as BootId, linkAddress: textOf(linkAddress) };
  });
}
