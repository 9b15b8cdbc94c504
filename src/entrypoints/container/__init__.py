"""The composition root: which adapter stands behind which port. The only place that sees both sides.

Each kind of process has a container in a module of its own, so that it imports only what it runs: `api`,
`consumer`, and one for each group of commands. What several of them have is in `parts`.

Every provider is synchronous and nothing here connects: connections are opened and closed by lifespan.py.
Ports are annotated, so that the type checker compares each adapter with its port.
"""
