"""xarray, by h5netcdf and by netCDF4: every plot is an array whose dimensions have labels.

usage: xarray_check.py FILES
"""

from known import Metrics, files, from_json, near, need, plots_of

xarray, h5py, np, *_ = need("xarray", "h5py", "numpy", "h5netcdf", "netCDF4")

count = 0
for engine in "h5netcdf", "netcdf4":
    def array(path, group, name=None):
        """A dataset of a group, by default of the group's own name."""
        with xarray.open_dataset(files / path, group=group, engine=engine) as opened:
            return opened[name or group.split("/")[-1]].load()

    # (netCDF4 reads all of a file to open a group: a few files stand for the others.)
    for path in files / "mlp/latest", files / "sweep.h5":
        with h5py.File(path) as file:
            plots = [(name, list(group.attrs["axes"]), group.attrs["signal"])
                     for name, group in plots_of(file)]
        for name, axes, signal in plots:
            found = array(path, name, signal)
            assert list(found.dims) == axes, (engine, path, name, found.dims)
            assert set(axes) <= set(found.coords), (engine, path, name, "no labels")
            count += 1

    for run in "mlp", "gpt":
        metrics = Metrics(run)
        for file in f"{run}/latest", f"{run}/history.h5":
            loss = array(file, "training/loss", "train_loss")
            assert loss.attrs["units"] == "nats", loss.attrs
            validation = array(file, "training/validation", "validation_loss")
            for step, line in metrics.steps.items():
                assert float(loss.sel(step=step)) == line["loss"]
            for step, line in metrics.evaluations.items():
                assert float(validation.sel(step=step)) == line["valid_loss"]
            whole = np.sqrt((array(file, "gradients/norm_l2").astype("f8") ** 2).sum("layer"))
            for step in whole.step.values:
                near(whole.sel(step=step), metrics.steps[step]["grad_norm"], 1e-6)
            counts = array(file, "gradients/histogram", "counts")
            with xarray.open_dataset(files / file, group="gradients", engine=engine) as entry:
                assert entry["layer_name"].dims == entry["numel"].dims == ("layer",)
                assert entry["merged"].dims == ("step",) and entry["bin"].dims == ("octave",)
                near(counts.sum("octave").isel(histogram_step=-1), entry["numel"])
                assert entry["layer_name"].values[-1] == ("ln_f.bias" if run == "gpt" else "layers.3.bias")

    signal = np.sqrt(array("mlp/latest", "activations/backward_variance").mean("step"))
    near(signal, [layer["backward_std"] for layer in from_json("diagnosis.json")["layers"]], 1e-9)
    sweep = from_json("sweep.json")
    accuracy = array("sweep.h5", "sweep/valid_accuracy")
    for i, point in enumerate(sweep["points"]):
        here = accuracy.isel(activation=i // 2).sel(lr=float(point["values"]["lr"]))
        near(here.mean("seed"), point["summary"]["valid_accuracy"]["mean"], 1e-12)
    audit = from_json("audit.json")
    production = array("audit.h5", "batches/production", "production_error")
    for batch in audit["batches"]:
        near(production.sel(step=batch["step"]), batch["production"]["error"])
    # The ledger's arrays have no scales.
    free = {"phony_dims": "sort"} if engine == "h5netcdf" else {}
    ledger = files / "mlp/ledger-00000010.h5"
    with xarray.open_dataset(ledger, group="steps", engine=engine, **free) as steps:
        near(steps["loss"], [line["loss"] for line in Metrics("mlp").steps.values()][:10])
print(count, "arrays")
