"""The offline side: train a variational autoencoder and publish it to the model store."""
