"""Training: configuration, losses, methods, one Lightning module, and runs that stop and resume."""
