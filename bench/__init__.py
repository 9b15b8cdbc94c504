"""Measurements of Bellwire on this machine: `python -m bench`. See docs/performance.md."""
