"""What the service asks: the gateway, and nothing else."""
