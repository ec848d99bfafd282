"""A run's report as one self-contained HTML file: embedded pictures, no scripts, no external links."""

import base64
from html import escape
from pathlib import Path

from training.config import Config
from training.data.dataset import DataSet

CAPTIONS = {
    "manifold.png": "The digits over a square of the latent space, at even quantiles (5 % to 95 %) of the prior.",
    "latent.png": "The test images at their z_mean.",
    "history.png": "The loss by epoch, in nats per image; where the notebook's own runs end, for comparison.",
    "reconstructions.png": "Test images, and under each row what the model makes of it at z_mean.",
    "samples.png": "Digits at draws from the prior.",
}
PROJECTED = " The latent space has {d} dimensions: shown are the first two principal directions of z_mean."

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222;
       background: #fff; }
figure { margin: 2rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #555; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .8rem; text-align: left;
       border-bottom: 1px solid #ddd; } td:last-child { font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #161616; } figcaption { color: #aaa; }
       td, th { border-color: #333; } }
"""


def write_page(config: Config, data: DataSet, measures: dict[str, float], folder: Path) -> None:
    """Write report.html, with the pictures in `folder`, into that folder."""
    figures = "".join(_figure(folder / name, text, config.latent_dim) for name, text in CAPTIONS.items())
    digits = f"{len(data.x_train[: config.limit]):,} training and {len(data.x_test):,} test images"
    settings = {name: value for name, value in config.model_dump(exclude={"data"}).items() if value is not None}
    document = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>digit-vae: {escape(config.preset)} on {escape(data.name)}</title><style>{STYLE}</style></head><body>
<h1>{escape(config.preset)} on {escape(data.name)}</h1>
<p>{digits}. Test loss <strong>{measures["test_loss"]:.2f}</strong> nats per image, the sum of cross-entropy
{measures["test_xent"]:.2f} and KL divergence {measures["test_kl"]:.2f}.</p>
{figures}
<h2>Measures</h2>{_table({name: f"{value:.4g}" if value < 1 else f"{value:.2f}" for name, value in measures.items()})}
<h2>Configuration</h2>{_table({name: str(value) for name, value in settings.items()})}
</body></html>
"""
    (folder / "report.html").write_text(document)


def _figure(picture: Path, caption: str, latent_dim: int) -> str:
    if not picture.exists():
        return ""
    projected = PROJECTED.format(d=latent_dim) if picture.stem in ("manifold", "latent") and latent_dim > 2 else ""
    inside = base64.b64encode(picture.read_bytes()).decode()
    text = escape(caption + projected)
    return f'<figure><img src="data:image/png;base64,{inside}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table(rows: dict[str, str]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"
