"""Runs and tries the product on one machine: embedded servers, `bellwire dev`, `bellwire soak`.

Nothing in the product imports it, and the production image does not contain it.
"""
