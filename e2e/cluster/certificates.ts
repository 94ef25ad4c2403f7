// The cluster's certificates and kubeconfigs: one authority, one certificate for each component, all for one day's
// use inside a namespace. EC keys, since twelve RSA keys would cost a second. Called by bring-up.ts.

import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { runCommand } from './command.ts';
import { apiServerUrl, apiServiceIp } from './layout.ts';
import type { ClusterLayout } from './layout.ts';

/** The front proxy's name: the API server is told to trust this name alone, since all share one authority. */
export const frontProxyName = 'front-proxy';

interface Identity {
  readonly file: string;
  readonly subject: string;
  /** Also gets a kubeconfig, `<file>.kubeconfig` in the cluster's folder. */
  readonly isClient: boolean;
}

function identities(layout: ClusterLayout): readonly Identity[] {
  return [
    { file: 'apiserver', subject: '/CN=kube-apiserver', isClient: false },
    { file: 'adapter', subject: '/CN=prometheus-adapter', isClient: false },
    { file: 'front-proxy', subject: `/CN=${frontProxyName}`, isClient: false },
    { file: 'admin', subject: '/O=system:masters/CN=admin', isClient: true },
    { file: 'controller-manager', subject: '/CN=system:kube-controller-manager', isClient: true },
    { file: 'scheduler', subject: '/CN=system:kube-scheduler', isClient: true },
    { file: 'proxy', subject: '/CN=system:kube-proxy', isClient: true },
    ...layout.nodes.map((node) => ({
      file: node.name,
      subject: `/O=system:nodes/CN=system:node:${node.name}`,
      isClient: true,
    })),
  ];
}

/** Makes every certificate, the service account key and the kubeconfigs. About 0.2 s. */
export async function makeCertificates(layout: ClusterLayout): Promise<void> {
  mkdirSync(layout.pkiFolder, { recursive: true, mode: 0o700 });
  const openssl = requirePart('openssl');
  await openCertificate(layout, [openssl, 'req', '-x509', '-subj', '/CN=pushcluster-e2e'], 'ca');
  const names = alternativeNames(layout);
  const authority = ['-CA', pki(layout, 'ca.crt'), '-CAkey', pki(layout, 'ca.key')];
  const extensions = ['-addext', names, '-addext', 'extendedKeyUsage=serverAuth,clientAuth'];
  await Promise.all(
    identities(layout).map(async ({ file, subject }) => {
      await openCertificate(layout, [openssl, 'req', '-x509', '-subj', subject, ...authority, ...extensions], file);
    }),
  );
  writeServiceAccountKey(layout);
  for (const { file, isClient } of identities(layout)) if (isClient) writeKubeconfig(layout, file);
}

/** The kubeconfig of one identity. */
export function kubeconfigOf(layout: ClusterLayout, file: string): string {
  return join(layout.folder, `${file}.kubeconfig`);
}

/** A file in the cluster's pki folder. */
export function pki(layout: ClusterLayout, file: string): string {
  return join(layout.pkiFolder, file);
}

async function openCertificate(layout: ClusterLayout, words: readonly string[], file: string): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await runCommand([
    ...words,
    ...key,
    '-keyout',
    pki(layout, `${file}.key`),
    '-out',
    pki(layout, `${file}.crt`),
    '-days',
    '30',
  ]);
}

/** Every certificate carries all names: inside one namespace there is nobody to tell them apart for. */
function alternativeNames(layout: ClusterLayout): string {
  const addresses = ['127.0.0.1', apiServiceIp, ...layout.nodes.map((node) => node.ip)];
  const hosts = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  const services = ['prometheus-adapter.kube-system.svc', ...layout.nodes.map((node) => node.name)];
  const names = [...addresses.map((ip) => `IP:${ip}`), ...[...hosts, ...services].map((host) => `DNS:${host}`)];
  return `subjectAltName=${names.join(',')}`;
}

function writeServiceAccountKey(layout: ClusterLayout): void {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  writeFileSync(pki(layout, 'sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  writeFileSync(pki(layout, 'sa.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
}

/** JSON is YAML, so nothing has to be quoted by hand. */
function writeKubeconfig(layout: ClusterLayout, file: string): void {
  const data = (name: string): string => readFileSync(pki(layout, name)).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'e2e',
    clusters: [{ name: 'e2e', cluster: { server: apiServerUrl, 'certificate-authority-data': data('ca.crt') } }],
    users: [
      {
        name: file,
        user: { 'client-certificate-data': data(`${file}.crt`), 'client-key-data': data(`${file}.key`) },
      },
    ],
    contexts: [{ name: 'e2e', context: { cluster: 'e2e', user: file } }],
  };
  writeFileSync(kubeconfigOf(layout, file), `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
}
