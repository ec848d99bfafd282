"""The command line of the service, its client and training."""
