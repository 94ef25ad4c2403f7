// The address of a Kafka, as settings write it. Pure.

const BROKER = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})$/;

/** `kafka://host:port,host:port` → brokers; null when it is not of that form. */
export function parseBrokers(url: string): readonly string[] | null {
  if (!url.startsWith('kafka://')) return null;
  const brokers = url.slice('kafka://'.length).split(',');
  const isGood = (broker: string): boolean => {
    const port = Number(BROKER.exec(broker)?.[2] ?? 0);
    return port >= 1 && port <= 65_535;
  };
  return brokers.every(isGood) ? brokers : null;
}
