"""Figures to a table for people and a picture for the README."""

from pathlib import Path
from typing import Any

POINTS = ("generate 1", "generate 16", "generate 64", "encode 1", "encode 16", "encode 64")


def table(points: dict[str, Any]) -> str:
    """Write requests a second, with p50 and p99 in ms, as Markdown; below it the ratios that matter."""
    lines = ["| server | " + " | ".join(f"/{point}" for point in POINTS) + " | MB |", "|---" * (len(POINTS) + 2) + "|"]
    for name, found in points.items():
        cells = [
            f"{found[p]['per_second']:,.0f} ({found[p]['p50_ms']:.2f} / {found[p]['p99_ms']:.1f})"
            + (f" {found[p]['errors']:.0f} errors" if found[p]["errors"] else "")
            for p in POINTS
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {max(each['mb'] for each in found.values()):.0f} |")
    return "\n".join([*lines, "", *_ratios(points)])


def _ratios(points: dict[str, Any]) -> list[str]:
    lines = []
    rates = {name: [found[p]["per_second"] for p in POINTS] for name, found in points.items()}
    ours = {name: each for name, each in rates.items() if name.startswith("digit-vae")}
    floor = next((each for name, each in rates.items() if name.startswith("bare")), None)
    peers = [each for name, each in rates.items() if not name.startswith(("digit-vae", "bare"))]
    if floor and ours:
        one = next(iter(ours.values()))
        lines.append(_row("1 worker / bare route", [a / b for a, b in zip(one, floor, strict=True)]))
    if peers and ours:
        best, peer = ([max(column) for column in zip(*each, strict=True)] for each in (ours.values(), peers))
        lines.append(_row("best of ours / best peer", [a / b for a, b in zip(best, peer, strict=True)]))
    return lines


def _row(name: str, values: list[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " | |"


def own_table(own: dict[str, Any]) -> str:
    """Write the figures that have no peer, one a line."""
    return "\n".join(f"{name}: {value}" for name, value in own.items())


def picture(points: dict[str, Any], path: Path) -> None:
    """Bars of requests a second, one group per point."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
    width = 0.85 / len(points)
    for i, (name, found) in enumerate(points.items()):
        ours = name.startswith("digit-vae")
        colour = "#bbbbbb" if name.startswith("bare") else None
        places = [at + i * width for at in range(len(POINTS))]
        rates = [found[p]["per_second"] for p in POINTS]
        axes.bar(places, rates, width, label=name, color=colour, edgecolor="black" if ours else None, linewidth=1)
    axes.set_xticks([at + 0.4 for at in range(len(POINTS))], [_label(*point.split()) for point in POINTS])
    axes.tick_params("x", labelsize=8)
    axes.set_ylabel("requests a second")
    figure.legend(loc="outside upper center", fontsize=7, ncols=4, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _label(route: str, clients: str) -> str:
    return f"/{route}, {clients} {'client' if clients == '1' else 'clients'}"
