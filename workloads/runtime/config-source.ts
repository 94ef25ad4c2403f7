// The config source port: a watched text, by ConfigMap name and key. kubernetes: config-source-kubernetes.ts (its own file, since
// importing @kubernetes/client-node costs 85 MB and gateways must not); embedded: whatever the process passes in.

export interface ConfigSource {
  /** Calls `onText` with the text now (once it is known) and after each change; never with the same text twice in a row. The answer stops it. */
  watch(configMap: string, key: string, onText: (text: string) => void): () => void;
}
