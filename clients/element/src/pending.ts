import type { Notification } from '../../javascript/src/protocol.js';

interface Change {
  set: Partial<Notification>;
  /** The version of the notification when the change was made. */
  version: number;
  /** Whether the service has done it. Until then it is shown over any version. */
  done: boolean;
}

/**
 * What the user did that the service has not confirmed yet, laid over what the service says. A change is dropped when
 * it failed, or when it is done and the notification has a newer version: that one says what is true.
 */
export class Pending {
  #changes = new Map<string, Change[]>();

  /** Lay a change over notifications. The result is to be called with the answer: how many changed, 0 if it failed. */
  put(items: Notification[], set: Partial<Notification>): (answer: unknown) => void {
    const changes = items.map(({ id, version }) => {
      const change: Change = { set, version, done: false };
      this.#changes.set(id, [...(this.#changes.get(id) ?? []), change]);
      return [id, change] as const;
    });
    return (answer) => {
      for (const [id, change] of changes) {
        change.done = true;
        if (!answer) this.#drop(id, change);
      }
    };
  }

  /** The notifications as they will be. */
  over(items: Notification[]): Notification[] {
    if (this.#changes.size === 0) return items;
    return items.map((item) => {
      const changes = this.#changes.get(item.id);
      return changes ? Object.assign({}, item, ...changes.map(({ set }) => set)) : item;
    });
  }

  /** Drop what the service has confirmed: `truth` gives the notifications as it says. */
  settle(truth: () => Notification[]): void {
    if (this.#changes.size === 0) return;
    const versions = new Map(truth().map(({ id, version }) => [id, version]));
    for (const [id, changes] of this.#changes) {
      const version = versions.get(id) ?? Infinity;
      for (const change of changes) if (change.done && version > change.version) this.#drop(id, change);
    }
  }

  #drop(id: string, change: Change): void {
    const rest = (this.#changes.get(id) ?? []).filter((one) => one !== change);
    if (rest.length) this.#changes.set(id, rest);
    else this.#changes.delete(id);
  }
}
