"""Redis: the unread index, the carrier of live frames, and small secrets that expire."""
