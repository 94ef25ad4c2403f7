// The cluster's own cgroup, under which its kubelets put their pods: made before a kubelet starts (it insists),
// removed after the namespace has died. Works with cgroup v1 (a tree for each controller) and v2 (one tree).

import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = '/sys/fs/cgroup';

function isUnified(): boolean {
  return existsSync(join(root, 'cgroup.controllers'));
}

/** The roots of the trees: one on v2; on v1 every controller's, symbolic links left out. */
function trees(): readonly string[] {
  if (!existsSync(root)) return [];
  if (isUnified()) return [root];
  return readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(root, entry.name));
}

/** Makes a cgroup in every tree. `path` starts with a slash. */
export function makeCgroup(path: string): void {
  for (const tree of trees()) {
    const folder = join(tree, path);
    let made = tree;
    for (const step of path.split('/').filter((name) => name !== '')) {
      enableControllers(made);
      const parent = made;
      made = join(made, step);
      mkdirSync(made, { recursive: true });
      copyCpuset(parent, made);
    }
    enableControllers(folder);
  }
}

/** The processes in a cgroup and below it, as the calling process's namespace numbers them. */
export function cgroupPids(path: string): readonly number[] {
  const tree = isUnified() ? root : join(root, 'memory');
  const found: number[] = [];
  for (const folder of foldersBelow(join(tree, path))) {
    const listed = readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n');
    // 0 stands for a process of another namespace.
    found.push(...listed.map(Number).filter((pid) => pid > 0));
  }
  return found;
}

/** Whether the cgroup is there in any tree. */
export function hasCgroup(path: string): boolean {
  return trees().some((tree) => existsSync(join(tree, path)));
}

/** Removes a cgroup and all below it in every tree. Its processes must be dead: the kernel refuses otherwise. */
export function removeCgroup(path: string): void {
  for (const tree of trees()) {
    for (const folder of foldersBelow(join(tree, path)).toReversed()) {
      try {
        rmdirSync(folder);
      } catch {
        // Busy for a moment after the last process's death; the caller looks again.
      }
    }
  }
}

/** Parents before children. A folder may vanish while it is read: pods come and go. */
function foldersBelow(folder: string): readonly string[] {
  const found: string[] = [];
  const visit = (at: string): void => {
    if (!statSync(at, { throwIfNoEntry: false })?.isDirectory()) return;
    found.push(at);
    for (const entry of readdirSync(at, { withFileTypes: true })) if (entry.isDirectory()) visit(join(at, entry.name));
  };
  visit(folder);
  return found;
}

/** On v2 a child has only the controllers that its parent hands down. */
function enableControllers(folder: string): void {
  const control = join(folder, 'cgroup.subtree_control');
  if (!isUnified() || !existsSync(control)) return;
  for (const controller of readFileSync(join(folder, 'cgroup.controllers'), 'utf8').trim().split(' ')) {
    try {
      writeFileSync(control, `+${controller}`);
    } catch {
      // A controller that cannot be handed down here is one that pods do without.
    }
  }
}

/** On v1 a new cpuset is empty and takes no process until it names its processors and memory nodes. */
function copyCpuset(parent: string, child: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (isUnified() || !existsSync(join(child, file))) continue;
    if (readFileSync(join(child, file), 'utf8').trim() !== '') continue;
    writeFileSync(join(child, file), readFileSync(join(parent, file)));
  }
}
