import type { Feed, Filter } from './feed.js';
import type { Look } from './look.js';

/** A list of the panel, with how many are unread in it; null where that is no news. */
export interface Tab {
  id: string;
  label: string;
  filter: Filter;
  count: number | null;
}

/**
 * The lists: all, those that are unread, and one for each category, given as `id` or `id:Title` with commas or spaces; with null
 * only all.
 */
export function tabsOf(categories: string | null, feed: Pick<Feed, 'unreadCount' | 'unreadIn' | 'titles'> | null, text: Look['text']): Tab[] {
  const all: Tab = { id: 'all', label: text('all'), filter: {}, count: null };
  if (categories === null) return [all];
  const given = categories.split(categories.includes(',') ? /\s*,\s*/ : /\s+/).filter(Boolean);
  const titles = given.length ? feed?.titles() : null;
  const own = given.map((one) => {
    const [category, title] = one.trim().split(/:(.*)/);
    return { id: `in-${category}`, label: title || titles?.get(category) || category, filter: { category }, count: feed?.unreadIn[category] ?? 0 };
  });
  return [all, { id: 'unread', label: text('unread'), filter: { unread: true }, count: feed?.unreadCount ?? 0 }, ...own];
}
