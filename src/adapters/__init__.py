"""The technologies behind the ports: one package for each, and none imports another."""
