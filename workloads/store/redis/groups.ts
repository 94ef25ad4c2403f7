// Groups in Redis: one script a change (scripts/groups.ts), members by name. Called by redis-store.ts.
import { textKey } from './keys.ts';
import { changeGroupScript, GROUP_MEMBERS, GROUP_OUTCOMES, IS_MEMBER } from './scripts/groups.ts';
import type { Script } from './scripts/script.ts';
import { askOne } from './topology.ts';
import type { Topology } from './topology.ts';
import { listOf, numberOf, textOf } from './trip.ts';
import type { GroupChange, GroupInfo, GroupOutcome } from '../port.ts';
import type { StoreLimits } from '../store-limits.ts';
import type { AccountId, AppId } from '../../protocol/ids.ts';

export interface GroupScripts {
  readonly change: Script;
  readonly members: Script;
  readonly isMember: Script;
}
export function groupScripts(limits: StoreLimits): GroupScripts {
  return { change: changeGroupScript(limits), members: GROUP_MEMBERS, isMember: IS_MEMBER };
}

interface Which {
  readonly app: AppId;
  readonly group: string;
}

export class RedisGroups {
  readonly #topology: Topology;
  readonly #scripts: GroupScripts;

  constructor(topology: Topology, scripts: GroupScripts) {
    this.#topology = topology;
    this.#scripts = scripts;
  }

  async change({ app, group }: Which, change: GroupChange): Promise<GroupOutcome> {
    const account = change.kind === 'create' ? change.owner : change.kind === 'delete' ? '' : change.account;
    const members = JSON.stringify(change.kind === 'create' ? change.members : []);
    const asked = { ...textKey('g', app, group), args: [change.kind, account, members] };
    return GROUP_OUTCOMES[numberOf(await askOne(this.#topology, this.#scripts.change, asked))]!;
  }

  async members(
    { app, group }: Which,
    page: { readonly after: AccountId | null; readonly limit: number },
  ): Promise<(GroupInfo & { readonly accounts: readonly AccountId[] }) | null> {
    const asked = { ...textKey('g', app, group), args: [page.after ?? '', page.limit] };
    const reply = await askOne(this.#topology, this.#scripts.members, asked);
    if (reply === null) return null;
    const [owner, createdAtMs, members, ...accounts] = listOf(reply);
    return {
      group,
      owner: textOf(owner) as AccountId,
      members: numberOf(members),
      createdAtMs: numberOf(createdAtMs),
      accounts: accounts.map((account) => textOf(account) as AccountId),
    };
  }

  async isMember({ app, group }: Which, account: AccountId): Promise<boolean> {
    const asked = { ...textKey('g', app, group), args: [account] };
    return (await askOne(this.#topology, this.#scripts.isMember, asked)) === 1;
  }
}
