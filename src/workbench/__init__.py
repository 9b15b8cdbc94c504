"""Where the product is run and tried on one machine: servers from wheels, `bellwire dev`, `bellwire soak`.

Nothing of the product imports it, and the production image does not carry it.
"""
