/** Drawn in a field of 24 × 24. */
export const ICONS = {
  bell: 'M6 9a6 6 0 0 1 12 0c0 6 2.5 7.5 2.5 7.5h-17S6 15 6 9M10 20.5a2.2 2.2 0 0 0 4 0',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  checks: 'M2 13l4 4 8.5-9M11 16l1 1 9.5-9',
  unread: 'M4 6h16v12H4zM4.5 7l7.5 6 7.5-6',
  archive: 'M4 5h16v4H4zM6 9v10h12V9M10 13h4',
  snooze: 'M12 8v4l3 2M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17',
  back: 'M14.5 5l-7 7 7 7',
  close: 'M6 6l12 12M18 6L6 18',
  info: 'M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17M12 11.5v4.5M12 8v.01',
  success: 'M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17M8.5 12.5l2.5 2.5 4.5-5',
  warning: 'M12 4l9 16H3zM12 10v4.5M12 17v.01',
  critical: 'M8.5 3.5h7l5 5v7l-5 5h-7l-5-5v-7zM12 8v5M12 16v.01',
};

export type IconName = keyof typeof ICONS;
