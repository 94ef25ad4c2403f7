// The command `ledger`: an app's deliveries, and what became of them.
import type { CommandTable } from '../commands.ts';
import { Input } from '../input.ts';
import type { Ledgers } from '../../results/ledger.ts';

export function ledgerCommands(ledgers: Ledgers): CommandTable {
  return {
    async ledger({ app, input }) {
      const recount = new Input(input, ['recount']).flag('recount');
      return { status: 200, body: await (recount ? ledgers.recount(app.name) : ledgers.read(app.name)) };
    },
  };
}
