const made = new Map<string, unknown>();

/** What is slow to make is made once: formats of a language, icons, and what rows have in common. */
export function kept<T>(key: string, make: () => T): T {
  const found = (made.get(key) as T | undefined) ?? make();
  made.set(key, found);
  return found;
}
