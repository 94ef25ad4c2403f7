// The chart's copies of what crds/ holds: the CRDs, and the operator's rules. Run it after changing them:
//   node charts/pushcluster/render-files.ts
// chart.test.ts fails while a copy differs. Helm cannot read outside of a chart's folder, and packages no symbolic links' targets.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';

const CHART = import.meta.dirname;
const CRDS = join(CHART, '..', '..', 'crds');
const RULES_HEAD =
  '# Made from crds/install/operator.yaml by render-files.ts. What the operator may do, and so what it may grant.\n';

interface RoleView {
  readonly kind: string;
  readonly rules: readonly unknown[];
}

/** Path in the chart → text that it must have. */
export function renderChartFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const name of readdirSync(CRDS).filter((file) => file.endsWith('.yaml')))
    files.set(`files/crds/${name}`, readFileSync(join(CRDS, name), 'utf8'));
  const manifests = parseAllDocuments(readFileSync(join(CRDS, 'install', 'operator.yaml'), 'utf8'));
  const roles = manifests.map((document) => document.toJS() as RoleView | null);
  for (const [kind, file] of [
    ['ClusterRole', 'files/rules.yaml'],
    ['Role', 'files/own-rules.yaml'],
  ] as const) {
    const rules = roles.filter((role) => role?.kind === kind).flatMap((role) => role!.rules);
    files.set(file, RULES_HEAD + stringify(rules, { lineWidth: 120, aliasDuplicateObjects: false }));
  }
  return files;
}

if (import.meta.main) {
  rmSync(join(CHART, 'files', 'crds'), { recursive: true, force: true });
  for (const [path, text] of renderChartFiles()) {
    mkdirSync(dirname(join(CHART, path)), { recursive: true });
    writeFileSync(join(CHART, path), text);
    console.log(path);
  }
}
