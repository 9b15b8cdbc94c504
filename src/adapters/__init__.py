"""The technologies behind the ports, one package each; none knows another.

`wire` and `metrics` are what they share: the JSON that leaves the service, and what is counted.
"""
