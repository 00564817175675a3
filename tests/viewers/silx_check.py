"""silx: every NXdata group is valid, and the plots that `silx view` shows unasked have the values.

usage: silx_check.py FILES
"""

from known import Metrics, files, from_json, near, need, plots_of, with_plots

silx_io, nxdata, np = need("silx.io", "silx.io.nxdata", "numpy")

count = 0
for path in with_plots:
    with silx_io.open(str(path)) as file:
        for name, group in plots_of(file):
            plot = nxdata.NXdata(group)
            assert plot.is_valid, (path, name, plot.issues)
            assert all(axis is not None for axis in plot.axes), (path, name)
            # What is drawn at first: a curve, an image, or one of them with sliders for the rest.
            assert plot.is_curve or plot.is_image or plot.signal_ndim > 2 \
                or plot.interpretation == "spectrum", (path, name)
            count += 1
        assert nxdata.get_default(file).is_valid, path
print(count, "plots")


def default_of(path, entry=""):
    """The plot that a click on the file, or on the entry, shows; and the file, to be closed."""
    file = silx_io.open(str(files / path))
    return nxdata.get_default(file[entry] if entry else file), file


for run in "mlp", "gpt", "zeros", "linear":
    metrics = Metrics(run)
    for name in "latest", "history.h5":
        plot, file = default_of(f"{run}/{name}")
        assert plot.is_curve and plot.signal_name == "training loss per token", plot.signal_name
        near(plot.signal[()], metrics.of("loss"))
        near(plot.axes[0][()], list(metrics.steps))
        assert plot.axes_names == ["optimizer step"], plot.axes_names
        file.close()

        plot, file = default_of(f"{run}/{name}", "gradients")
        assert plot.is_image and plot.plot_style.signal_scale_type == "log"
        steps = plot.axes[1][()]
        near(np.sqrt((plot.signal[()].astype("f8") ** 2).sum(axis=0)),
             [metrics.steps[step]["grad_norm"] for step in steps], 1e-6)
        near(plot.axes[0][()], range(len(plot.signal)))
        file.close()

plot, file = default_of("mlp/latest", "activations")
assert plot.interpretation == "spectrum" and len(plot.auxiliary_signals) == 1
backward = plot.auxiliary_signals[0][()]
near(np.sqrt(backward.mean(axis=0)),
     [layer["backward_std"] for layer in from_json("diagnosis.json")["layers"]], 1e-9)
file.close()

plot, file = default_of("sweep.h5")
assert plot.signal_ndim == 3 and plot.axes_names[1:] == ["lr", "seed"], plot.axes_names
near(plot.signal[()].ravel(),
     [cell["valid_accuracy"] for point in from_json("sweep.json")["points"] for cell in point["cells"]])
file.close()
