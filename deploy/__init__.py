"""What is needed to run Bellwire, and what makes the generated parts of it: see `python -m deploy`."""
