// Makes brokers start in half the time where a test starts many: a broker's classes are kept as Java has loaded them (AppCDS), once on each
// machine. test-cluster.ts asks for it; every broker that starts afterwards uses it (test-broker.ts).
import { existsSync, renameSync, rmSync } from 'node:fs';
import { archiveOf, TestBroker } from './test-broker.ts';

/** Takes about 9 s the first time. Without it all goes on as before, only slower: it never rejects. */
export async function archiveClasses(program: string): Promise<void> {
  const archive = archiveOf(program);
  if (existsSync(archive)) return;
  const ours = `${archive}.${process.pid}`; // another test may be at it
  try {
    const broker = await TestBroker.make({ program });
    try {
      await broker.start([`-XX:ArchiveClassesAtExit=${ours}`]);
      await broker.kill('SIGTERM');
      renameSync(ours, archive);
    } finally {
      await broker.remove();
    }
  } catch (error) {
    console.log(`brokers start slowly: their classes are not archived: ${String(error)}`);
    rmSync(ours, { force: true });
  }
}
