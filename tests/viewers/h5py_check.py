"""h5py: every plot obeys the rules that viewers were found to have, and has the values of the text.

usage: h5py_check.py FILES
"""

import json

from known import Metrics, every_file, files, from_json, gradients, ledgers, near, need, plots_of, with_plots

h5py, np = need("h5py", "numpy")


def is_text(attributes, name):
    """A scalar text of variable length, UTF-8: others come out as bytes, or not at all."""
    attribute = attributes.get_id(name)
    text = h5py.check_string_dtype(attribute.dtype)
    return attribute.shape == () and text is not None and text.length is None and text.encoding == "utf-8"


def check_plot(path, group):
    axes = [group[name] for name in group.attrs["axes"]]
    assert all(is_text(group.attrs, name) for name in ("NX_class", "signal")), path
    names = [group.attrs["signal"], *group.attrs.get("auxiliary_signals", [])]
    errors = [name for name in group if name.endswith("_errors")]
    for name in names + errors:
        signal = group[name]
        assert signal.shape == tuple(axis.size for axis in axes), (path, signal.shape)
        assert signal.dtype.kind in "iuf", (path, signal.dtype)
        assert [list(dimension.values()) for dimension in signal.dims] == [[axis] for axis in axes], path
    for name in names:
        assert {"units", "long_name", "interpretation"} <= set(group[name].attrs), (path, name)
    for item in group.values():
        assert all(is_text(item.attrs, name) for name in ("units", "long_name", "interpretation")
                   if name in item.attrs), (path, item)
    for name, axis in zip(group.attrs["axes"], axes):
        assert isinstance(group.get(name, getlink=True), h5py.HardLink), (path, name)
        assert axis.ndim == 1 and axis.dtype.kind in "if" and 1 <= axis.size <= 4096, (path, axis)
        assert (np.diff(axis[()]) > 0).all(), (path, name)
    units = [axis.attrs["units"] for axis in axes]
    assert len(set(units)) == len(units), (path, units)
    if "SILX_style" in group.attrs:
        style = json.loads(group.attrs["SILX_style"])
        assert ("axes_scale_types" in style) == ("axes_scale_type" in style), (path, style)


def check_item(path, item):
    if isinstance(item, h5py.Dataset):
        text = h5py.check_string_dtype(item.dtype)
        assert text is None or text.length is None, f"{path}: netCDF4 wants variable length"
        if path.startswith("model/parameters"):
            assert item.dtype == np.float32, path


count = 0
for path in every_file:
    with h5py.File(path) as file:
        assert file.attrs["complete"] == 1 and file.attrs["schema"].startswith("evengrad-"), path
        file.visititems(check_item)
        plots = plots_of(file)
        for plot in plots:
            check_plot(*plot)
        count += len(plots)
        assert bool(plots) == (path in with_plots), path
        # From the file the attributes `default` lead to a plot.
        group = file
        while path in with_plots and group.attrs["NX_class"] != "NXdata":
            assert is_text(group.attrs, "default"), (path, group)
            group = group[group.attrs["default"]]
print(count, "plots")

for run in "mlp", "gpt", "zeros", "linear":
    metrics = Metrics(run)
    for name in "latest", "history.h5":
        with h5py.File(files / run / name) as file:
            training = file["training"]
            assert training["step"][()].tolist() == list(metrics.steps)
            near(training["loss/train_loss"], metrics.of("loss"))
            near(training["grad_norm/before_clip"], metrics.of("grad_norm"))
            near(training["grad_norm/after_clip"], metrics.of("clipped_grad_norm"))
            near(training["learning_rate/learning_rate"], metrics.of("lr"))
            near(training["tokens/tokens"], metrics.of("loss_tokens"))
            validation = training["validation"]
            assert validation["step"][()].tolist() == list(metrics.evaluations)
            near(validation["validation_loss"],
                 [line["valid_loss"] for line in metrics.evaluations.values()])
            norms = file["gradients/norm_l2/norm_l2"][()].astype("f8")
            near(np.sqrt((norms ** 2).sum(axis=0)),
                 [metrics.steps[step]["grad_norm"] for step in file["gradients/step"][()]], 1e-6)

for path in gradients:
    with h5py.File(path) as file:
        (step, whole), = file["gradients/raw"].items()
        parts = []
        whole.visititems(lambda _, item: parts.append(item[()].ravel().astype("f8"))
                         if isinstance(item, h5py.Dataset) else None)
        near(np.linalg.norm(np.concatenate(parts)), Metrics("mlp").steps[int(step)]["grad_norm"], 1e-6)
assert len(gradients) == 2

for path in ledgers:
    metrics = Metrics(path.parent.name)
    with h5py.File(path) as file:
        logged = [metrics.steps[step] for step in file["steps/step"][()]]
        near(file["steps/loss"], [line["loss"] for line in logged])
        near(file["steps/micro_batches"], [line["micro_batches"] for line in logged])
assert len(ledgers) == 8, ledgers

with h5py.File(files / "sweep.h5") as file:
    cells = [cell for point in from_json("sweep.json")["points"] for cell in point["cells"]]
    for name in "valid_accuracy", "valid_loss", "train_loss", "steps_to_target", "first_gradient_ratio":
        found = file[f"sweep/{name}/{name}"]
        assert found.shape == (2, 2, 2) and file["sweep/lr"][()].tolist() == [0.1, 0.3]
        near(found[()].ravel(), [np.nan if cell[name] is None else cell[name] for cell in cells])

with h5py.File(files / "audit.h5") as file:
    audit = from_json("audit.json")
    near(file["batches/production/production_error"],
         [batch["production"]["error"] for batch in audit["batches"]])
    assert json.loads(file["result/data"].asstr()[()]) == audit
