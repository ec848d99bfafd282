"""The command line: one command over the service, its client and training, which know nothing of it."""
