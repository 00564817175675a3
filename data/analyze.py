#!/usr/bin/env python3
"""Draws what a run recorded of its gradients and layers, as PNG images.

    data/analyze.py runs/mine                            what the run has so far
    data/analyze.py runs/mine/step-00000400.h5 --step 1  of a checkpoint, at one step
    data/analyze.py runs/mine/gradients-00000001.h5      a whole gradient (--save-gradients)

violins.png   each layer's gradient: how many of its elements have which size and sign
heat-map.png  norm of each layer's gradient over the steps
glorot.png    standard deviation of activations and of the back-propagated signal, by layer
              (Glorot and Bengio 2010, figures 6 and 7)

A layer is what shares a name up to the last dot: weight and bias. Needs h5py and matplotlib
(Debian: python3-h5py, python3-matplotlib). README.md describes the files.
"""

import argparse
import io
import os
import sys
from pathlib import Path

try:
    import h5py
    import numpy as np
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from PIL import Image  # which matplotlib needs as well
except ImportError as problem:
    sys.exit(f"analyze.py: error: {sys.executable}: {problem}; it needs h5py and matplotlib (Debian's "
             "/usr/bin/python3: python3-h5py, python3-matplotlib)")

STATISTICS = ("evengrad-checkpoint", "evengrad-history")
WHOLE_GRADIENT = "evengrad-gradient"
SMALLEST, LARGEST = -126, 16  # exponents of the outermost edges of the files' bins
BINS_AN_OCTAVE = 4            # of a whole gradient; statistics have one


class AnalyzeError(Exception):
    """Something the user can put right; the message says where and how."""


# Reading -----------------------------------------------------------------------------------------

def find_file(path):
    """Of a run's folder the history, or the newest checkpoint where there is none."""
    if not path.is_dir():
        return path
    for name in ("history.h5", "latest"):
        if (path / name).exists():
            return path / name
    raise AnalyzeError(f"{path}: has neither history.h5 nor a checkpoint; name the folder of a "
                       "train --save, or a file in it")


def read(entry, path, *shape):
    """All of a dataset, which must be there and have this shape, if one is given."""
    found = entry.get(path)
    name = f"{entry.file.filename}: {entry.name}/{path}"
    if not isinstance(found, h5py.Dataset):
        raise AnalyzeError(f"{name} is missing; is the file damaged?")
    if shape and found.shape != shape:
        raise AnalyzeError(f"{name} has the shape {found.shape}, expected {shape}; is the file damaged?")
    return found.asstr()[()] if h5py.check_string_dtype(found.dtype) else found[()]


def choose(steps, wanted):
    """The first and the last sample, or the first that is not before the wanted step."""
    if wanted is None:
        return sorted({0, len(steps) - 1})
    if not 1 <= wanted <= steps[-1]:
        raise AnalyzeError(f"--step {wanted}: the file has statistics of steps {steps[0]} to {steps[-1]}")
    return [int(np.searchsorted(steps, wanted))]


class Layers:
    """The layers that tensors belong to, in the order of the tensors."""

    def __init__(self, tensors):
        layers = [name.rpartition(".")[0] or name for name in tensors]
        self.names = list(dict.fromkeys(layers))
        self.of_tensor = [self.names.index(layer) for layer in layers]

    def add_up(self, values):
        sums = np.zeros((len(self.names), *values.shape[1:]), values.dtype)
        np.add.at(sums, self.of_tensor, values)
        return sums


def count_sizes(tensor):
    """Counts as in a file's histogram, of finer bins: negative ones from the largest, zeros, positive."""
    values = tensor.astype("f8").ravel()
    half = (LARGEST - SMALLEST) * BINS_AN_OCTAVE
    values = values[np.abs(values) >= 2.0 ** SMALLEST]
    size = np.floor((np.log2(np.abs(values)) - SMALLEST) * BINS_AN_OCTAVE).astype(int)
    bins = half + np.where(values < 0, -1, 1) * (np.minimum(size, half - 1) + 1)
    counts = np.bincount(bins, minlength=2 * half + 1)
    counts[half] = tensor.size - values.size
    return counts


# Drawing -----------------------------------------------------------------------------------------

def new_figure(width, height, columns, **shared):
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, **shared)[0]


def height_of(names):
    return min(1.5 + 0.24 * len(names), 16)


def name_layers(axis, names, most, **how):
    shown = range(0, len(names), -(-len(names) // most))  # all, or as many as can be read
    axis.set_ticks(list(shown), [names[i] for i in shown], fontsize=8, **how)


def draw_violins(names, pictures):
    """Of each picture a title and counts [layer, bin]. Above a layer's line are positive elements."""
    figure, axes = new_figure(1.5 + 3.3 * len(pictures), height_of(names), len(pictures),
                              sharex=True, sharey=True)
    half = pictures[0][1].shape[1] // 2
    size = 2.0 ** (SMALLEST + (np.arange(half) + 0.5) * (LARGEST - SMALLEST) / half)
    seen = np.zeros(half)
    for ax, (title, counts) in zip(axes, pictures):
        for y, layer in enumerate(counts):
            positive, negative = layer[half + 1:], layer[:half][::-1]
            scale = 0.46 / max(positive.max(), negative.max(), 1)
            ax.fill_between(size, y, y - scale * positive, color="tab:blue", lw=0)
            ax.fill_between(size, y, y + scale * negative, color="tab:orange", lw=0)
            up_to = np.cumsum(positive + negative)
            if up_to[-1] > 0:
                ax.plot(size[np.searchsorted(up_to, up_to[-1] / 2)], y, "k|", ms=9)
                seen += (positive + negative) / up_to[-1]
            if layer[half] > 0:
                ax.text(0.99, y, f"{100 * layer[half] / layer.sum():.3g} % are 0", fontsize=7, va="center",
                        ha="right", transform=ax.get_yaxis_transform())
        ax.set(title=title, xscale="log", ylim=(len(names) - 0.4, -0.6))
        ax.grid(axis="x", lw=0.4)
    filled = np.flatnonzero(seen > 0.01)  # the tails of a few elements are long
    if filled.size:
        low, high = size[filled[[0, -1]]]
        axes[0].set_xlim(low, 2 * high * (high / low) ** 0.2)  # and there is room for the text
    figure.supxlabel("size of an element of the gradient: above the line positive, below it negative "
                     "ones; bar: median", fontsize=9)
    name_layers(axes[0].yaxis, names, 100)
    return figure


def draw_heat_map(names, steps, norms):
    figure, (ax,) = new_figure(8, height_of(names), 1)
    middles = (steps[1:] + steps[:-1]) / 2
    edges = np.concatenate([[steps[0] - 0.5], middles, [steps[-1] + 0.5]])
    positive = norms[np.isfinite(norms) & (norms > 0)]
    limits = (positive.min(), positive.max()) if positive.size else (0.1, 1)
    mesh = ax.pcolormesh(edges, np.arange(len(names) + 1) - 0.5, np.ma.masked_less_equal(norms, 0),
                         norm=LogNorm(*limits), cmap="viridis")
    ax.set(title="norm of each layer's gradient (gray: 0)", xlabel="step", facecolor="0.7",
           ylim=(len(names) - 0.5, -0.5))
    name_layers(ax.yaxis, names, 100)
    ax.xaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(mesh, ax=ax, pad=0.01, fraction=0.03, aspect=6 * height_of(names))
    return figure


def draw_glorot(names, steps, pictures):
    """Of each picture a title and standard deviations [layer, sample]."""
    figure, axes = new_figure(8.1, 3.4, len(pictures))
    for ax, (title, deviations) in zip(axes, pictures):
        for step, values, style in zip(steps, deviations.T, ("o-", "s--")):
            ax.plot(np.where(values > 0, values, np.nan), style, ms=4, lw=1.2, label=f"step {step}")
        ax.set_title(title, fontsize=10)
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        room = max(1, 10 / (high / low) ** 0.5)  # two decades at least: what is level looks so
        ax.set_ylim(low / room, high * room)
        ax.grid(axis="y", lw=0.4)
        ax.legend(fontsize=8)
        name_layers(ax.xaxis, names, 24, rotation=35 if len(names) < 9 else 90)
    return figure


# Files -------------------------------------------------------------------------------------------

def title_of(step, merged):
    return f"step {step}" if merged == 1 else f"{merged} recorded steps up to step {step}"


def figures_of_statistics(file, step):
    if "gradients" not in file:
        raise AnalyzeError(f"{file.filename}: has no group /gradients: nothing was recorded "
                           "(train --stats-interval 0)")
    entry = file["gradients"]
    tensors = read(entry, "layer_name")
    layers = Layers(tensors)
    steps, counted = read(entry, "step"), read(entry, "histogram_step")
    norms = read(entry, "norm_l2/norm_l2", len(tensors), len(steps)).astype("f8")
    counts = read(entry, "histogram/counts", len(tensors), len(counted), len(read(entry, "bin")))
    counts = layers.add_up(counts.astype("i8"))
    merged = read(entry, "histogram_merged", len(counted))
    figures = {
        "violins": draw_violins(layers.names, [(title_of(counted[i], merged[i]), counts[:, i])
                                               for i in choose(counted, step)]),
        "heat-map": draw_heat_map(layers.names, steps, np.sqrt(layers.add_up(norms ** 2)))}
    if "activations" in file:  # a perceptron without hidden layers has none
        entry = file["activations"]
        names = read(entry, "layer_name")
        shape = (len(names), len(steps)) if len(names) > 1 else (len(steps),)
        chosen = choose(steps, step)
        pictures = []
        for column, title in (("forward_variance", "activations"),
                              ("backward_variance", "back-propagated signal")):
            variance = read(entry, f"{column}/{column}", *shape).reshape(len(names), len(steps))
            pictures.append((f"standard deviation: {title}", np.sqrt(variance[:, chosen])))
        figures["glorot"] = draw_glorot(names, steps[chosen], pictures)
    return figures


def figures_of_gradient(file, step):
    whole = next(iter(file["gradients/raw"].values()))
    if step not in (None, whole.attrs["step"]):
        raise AnalyzeError(f"--step {step}: the file has the gradient of step {whole.attrs['step']}")
    found = []
    whole.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    found.sort(key=lambda tensor: tensor.attrs["index"])
    layers = Layers([tensor.attrs["name"] for tensor in found])
    counts = layers.add_up(np.array([count_sizes(tensor[()]) for tensor in found]))
    step = whole.attrs["step"]
    return {f"violins-{step:08}": draw_violins(layers.names, [(f"step {step}, all elements", counts)])}


def figures_of(path, step=None):
    """Name -> matplotlib figure."""
    path = find_file(path)
    if not path.is_file():
        raise AnalyzeError(f"{path}: there is no such file")
    if not h5py.is_hdf5(path):
        raise AnalyzeError(f"{path}: is not an HDF5 file, or one that is cut off")
    try:
        with h5py.File(path) as file:
            schema = file.attrs.get("schema", "of another program")
            if schema not in (*STATISTICS, WHOLE_GRADIENT):
                raise AnalyzeError(f"{path}: is {schema}; name a checkpoint, history.h5 or a gradients "
                                   "file of a run")
            if schema == WHOLE_GRADIENT:
                return figures_of_gradient(file, step)
            return figures_of_statistics(file, step)
    except OSError as problem:  # h5py's texts don't name the file
        raise AnalyzeError(f"{path}: {problem.strerror or problem}")


def write_all(figures, folder):
    """Each file appears when it is complete, and none before all are drawn."""
    images = {}
    for name, figure in figures.items():
        figure.savefig(drawn := io.BytesIO(), format="png")
        few_colors = Image.open(drawn).convert("RGB").quantize(255)  # a quarter of the bytes
        few_colors.save(image := io.BytesIO(), format="png", optimize=True)
        images[folder / f"{name}.png"] = image.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    for file, image in images.items():
        partial = file.with_suffix(".png.tmp")
        partial.write_bytes(image)
        os.replace(partial, file)
        print(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path,
                        help="a run's folder, a checkpoint, history.h5 or gradients-*.h5")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR",
                        help="where the images go (here)")
    parser.add_argument("--step", type=int, metavar="N",
                        help="the step to show, or else the next one recorded (the first and the last)")
    options = parser.parse_args()
    try:
        write_all(figures_of(options.file, options.step), options.output)
    except (AnalyzeError, OSError) as problem:
        sys.exit(f"analyze.py: error: {problem}")


if __name__ == "__main__":
    main()
