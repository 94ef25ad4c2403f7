// Renders workloads/settings/README.md from the tables of settings; `node .ci/settings-page.ts` writes it, the tidy test compares.
import { writeFileSync } from 'node:fs';
import { busSettings } from '../workloads/settings/bus.ts';
import { commonSettings } from '../workloads/settings/common.ts';
import { configSettings } from '../workloads/settings/config-source.ts';
import { drainerSettings } from '../workloads/settings/drainer.ts';
import { gatewaySettings } from '../workloads/settings/gateway.ts';
import { operatorSettings } from '../workloads/settings/operator.ts';
import { registrySettings } from '../workloads/settings/registry.ts';
import { routerSettings } from '../workloads/settings/router.ts';
import { upstreamSettings } from '../workloads/settings/upstream.ts';
import type { Setting } from '../workloads/settings/setting.ts';

type Table = Readonly<Record<string, Setting<unknown>>>;

function row(setting: Setting<unknown>): string {
  const fallback =
    setting.fallback === null ? 'required' : setting.fallback === '' ? 'empty' : `\`${setting.fallback}\``;
  return `| \`${setting.env}\` | ${setting.expected} | ${fallback} | ${setting.about} |`;
}

function section(title: string, table: Table, without: readonly Table[]): string {
  const elsewhere = new Set(without.flatMap((other) => Object.keys(other)));
  const rows = Object.entries(table).filter(([name]) => !elsewhere.has(name));
  return [
    `## ${title}`,
    '',
    '| variable | expected | default | what it is |',
    '|---|---|---|---|',
    ...rows.map(([, setting]) => row(setting)),
    '',
  ].join('\n');
}

/** The whole page as Markdown. */
export function renderSettingsPage(): string {
  return [
    '# Settings of the roles',
    '',
    'Each role reads its environment once, at start, and refuses to start on a wrong value, naming all of them with what was',
    'expected. Any variable with the suffix `_FILE` names a file that holds the value. In a cluster the operator writes these',
    'into the pods from the PushCluster; you set them yourself only when you run a role by hand.',
    '',
    section('Every role', commonSettings, []),
    section('Registry and router: where the documents are watched', configSettings, []),
    section('Gateway, router and upstream: the bus', busSettings, [commonSettings]),
    section('Gateway', gatewaySettings, [commonSettings, busSettings]),
    section('Registry', registrySettings, [commonSettings, configSettings]),
    section('Router', routerSettings, [commonSettings, busSettings, configSettings]),
    section('Drainer', drainerSettings, [commonSettings]),
    section('Upstream', upstreamSettings, [commonSettings, busSettings]),
    section('Operator', operatorSettings, []),
  ].join('\n');
}

if (import.meta.main) writeFileSync('workloads/settings/README.md', renderSettingsPage());
