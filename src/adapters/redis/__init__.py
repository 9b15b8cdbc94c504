"""Redis: the unread index, the carrier of frames, and short-lived keys and tickets."""
