"""The technologies behind the ports, one package each; none knows another."""
