"""Offline training: train a variational autoencoder and publish it to the model store."""
