"""The composition root: which adapter implements which port. Only this package imports both.

Each kind of process has a container in a module of its own, so that it imports only what it runs: `api`,
`consumer`, and one for each group of commands. `parts` holds what several of them share.

Every provider is synchronous and nothing connects here: lifespan.py opens and closes connections.
Ports are annotated, so that the type checker compares each adapter with its port.
"""
