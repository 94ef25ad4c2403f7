// What a kubelet reads out of a pod: which role its container runs, its environment, the files of its volumes. Pure; kubelet.ts
// calls it before it starts a role. Pods that run no role of ours (the evaluation Redis) have role null.

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly secretKeyRef?: { readonly name: string; readonly key: string; readonly optional?: boolean };
  };
}
interface SecretItems {
  readonly name?: string;
  readonly secretName?: string;
  readonly items?: readonly { readonly key: string; readonly path: string }[];
}
export interface PodSpec {
  readonly containers: readonly {
    readonly name: string;
    readonly command?: readonly string[];
    readonly args?: readonly string[];
    readonly env?: readonly EnvVar[];
  }[];
  readonly volumes?: readonly {
    readonly name: string;
    readonly secret?: SecretItems;
    readonly projected?: { readonly sources?: readonly { readonly secret?: SecretItems }[] };
  }[];
}

export const ROLE_NAMES = ['gateway', 'registry', 'router', 'drainer', 'upstream'] as const;
export type RoleName = (typeof ROLE_NAMES)[number];
const MAIN = new RegExp(`workloads/(${ROLE_NAMES.join('|')})/main\\.(?:js|ts)`);
/** Secret name → key → text. */
export type Secrets = ReadonlyMap<string, Readonly<Record<string, string>>>;

export interface PodPlan {
  readonly role: RoleName | null;
  readonly env: Readonly<Record<string, string>>;
  /** Relative path → text, over all Secret volumes. */
  readonly files: Readonly<Record<string, string>>;
}

/** Reads a pod's spec; `pod` gives the fields a fieldRef may name. Secrets that are missing leave their values out. */
export function planPod(
  spec: PodSpec,
  pod: { name: string; namespace: string; podIP: string },
  secrets: Secrets,
): PodPlan {
  const container = spec.containers[0];
  const command = [...(container?.command ?? []), ...(container?.args ?? [])].join(' ');
  const role = MAIN.exec(command)?.[1] as RoleName | undefined;
  const env: Record<string, string> = {};
  for (const variable of container?.env ?? []) {
    const value = valueOf(variable, pod, secrets);
    if (value !== null) env[variable.name] = value;
  }
  return { role: role ?? null, env, files: filesOf(spec, secrets) };
}

function valueOf(
  variable: EnvVar,
  pod: { name: string; namespace: string; podIP: string },
  secrets: Secrets,
): string | null {
  if (variable.value !== undefined) return variable.value;
  const secret = variable.valueFrom?.secretKeyRef;
  if (secret !== undefined) return secrets.get(secret.name)?.[secret.key] ?? null;
  switch (variable.valueFrom?.fieldRef?.fieldPath) {
    case 'metadata.name':
      return pod.name;
    case 'metadata.namespace':
      return pod.namespace;
    case 'status.podIP':
    case 'status.hostIP':
      return pod.podIP;
    default:
      return null;
  }
}

function filesOf(spec: PodSpec, secrets: Secrets): Readonly<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const volume of spec.volumes ?? []) {
    const sources = [volume.secret, ...(volume.projected?.sources ?? []).map((source) => source.secret)];
    for (const source of sources) {
      const data = secrets.get(source?.secretName ?? source?.name ?? '');
      if (source === undefined || data === undefined) continue;
      const items = source.items ?? Object.keys(data).map((key) => ({ key, path: key }));
      for (const { key, path } of items) if (data[key] !== undefined) files[path] = data[key];
    }
  }
  return files;
}
