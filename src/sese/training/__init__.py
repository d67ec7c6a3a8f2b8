"""Training: configuration, losses, one Lightning module, runs that stop and resume."""
