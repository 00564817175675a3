"""data/analyze.py: what its figures show is what the run's own text and full gradient say; what it
refuses, it refuses in one line and writes nothing.

usage: analyze_check.py FILES ANALYZE
"""

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from known import Metrics, files, from_json, near, need

np, h5py, _ = need("numpy", "h5py", "matplotlib")
script = Path(sys.argv[2]).resolve()
spec = importlib.util.spec_from_file_location("analyze", script)
analyze = importlib.util.module_from_spec(spec)
spec.loader.exec_module(analyze)


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def violins(axes):
    """Of each layer: sizes, elements above and below its line (in units of the drawing), median."""
    shapes = [shape.get_paths()[0].vertices for shape in axes.collections]
    marks = [float(line.get_xdata()[0]) for line in axes.lines]
    for layer, (up, down) in enumerate(zip(shapes[::2], shapes[1::2])):
        bins = (len(up) - 3) // 2  # once along the line, once along the edge
        sizes, above, below = up[1:bins + 1, 0], (layer - up)[-bins - 1:-1, 1], (down - layer)[-bins - 1:-1, 1]
        yield sizes, above[::-1], below[::-1], marks[layer] if layer < len(marks) else None


# ---- violins: the whole gradient of step 1, saved by itself, knows what they must show
def gradient_of(layer):
    with h5py.File(files / "mlp/gradients-00000001.h5") as file:
        tensors = file["gradients/raw/1/" + layer.replace(".", "/")].values()
        return np.concatenate([tensor[()].ravel() for tensor in tensors])


def check_violins(figure, names, octave):
    axes = figure.axes[0]
    assert labels(axes.yaxis) == names, labels(axes.yaxis)
    zeros = [text.get_text() for text in axes.texts]
    drawn = list(violins(axes))
    assert len(drawn) == len(names)
    for name, (sizes, above, below, median) in zip(names, drawn):
        values = gradient_of(name)
        size = np.abs(values[values != 0])
        near(above.sum() / below.sum(), (values > 0).sum() / (values < 0).sum(), 1e-9)
        near(max(above.max(), below.max()), 0.46, 1e-9)
        near(np.average(np.log2(sizes), weights=above + below), np.log2(size).mean(), 0.03)
        assert abs(np.log2(median / np.median(size))) <= octave, (name, median, np.median(size))
        share = f"{100 * (values == 0).mean():.3g} % are 0"
        assert (share in zeros) == (values == 0).any(), (name, share, zeros)


names = [f"layers.{i}" for i in range(4)]
figures = analyze.figures_of(files / "mlp")
assert list(figures) == ["violins", "heat-map", "glorot"]
check_violins(figures["violins"], names, 1)
assert [axes.get_title() for axes in figures["violins"].axes] == ["step 1", "step 30"]
whole = analyze.figures_of(files / "mlp/gradients-00000001.h5")
assert list(whole) == ["violins-00000001"]
check_violins(whole["violins-00000001"], names, 0.25)

# ---- heat map: all layers of a step together have the norm that was logged
for run in "mlp", "gpt":
    metrics = Metrics(run)
    for file in [files / run] if run == "gpt" else [files / run, files / run / "latest"]:
        figure = analyze.figures_of(file)["heat-map"]
        mesh = figure.axes[0].collections[0]
        drawn = mesh.get_array().reshape(mesh.get_coordinates().shape[0] - 1, -1)
        with h5py.File(analyze.find_file(file)) as opened:
            steps = opened["gradients/step"][()]
        assert (len(steps), len(labels(figure.axes[0].yaxis))) == drawn.shape[::-1]
        near(np.sqrt((drawn ** 2).sum(axis=0)), [metrics.steps[s]["grad_norm"] for s in steps], 1e-6)
        edges = mesh.get_coordinates()[0, :, 0]
        assert (edges[:-1] < steps).all() and (steps < edges[1:]).all(), (edges, steps)
assert labels(figure.axes[0].yaxis)[2:5] == ["blocks.0.ln_1", "blocks.0.attn.qkv", "blocks.0.attn.proj"]

# ---- Glorot's plot: all steps together are what diagnose tells
curves = {"forward_std": [], "backward_std": []}
for step in 1, 5, 10, 15, 20, 25, 30:
    axes = analyze.figures_of(files / "mlp/latest", step)["glorot"].axes
    for ax, curve in zip(axes, curves.values()):
        assert [line.get_label() for line in ax.lines] == [f"step {step}"]
        curve.append(ax.lines[0].get_ydata())
for name, curve in curves.items():
    expected = [layer[name] for layer in from_json("diagnosis.json")["layers"]]
    near(np.sqrt(np.mean(np.square(curve), axis=0)), expected, 1e-9)
axes = figures["glorot"].axes
assert [line.get_label() for line in axes[0].lines] == ["step 1", "step 30"]
near(axes[1].lines[0].get_ydata(), curves["backward_std"][0])
near(axes[1].lines[1].get_ydata(), curves["backward_std"][-1])
assert labels(axes[0].xaxis) == names[:3]

# ---- nothing but zeros below the last layer; a model without an activation
figures = analyze.figures_of(files / "zeros")
assert [text.get_text() for text in figures["violins"].axes[0].texts][0] == "100 % are 0"
mesh = figures["heat-map"].axes[0].collections[0].get_array()
assert mesh.mask.ravel().tolist() == [True, False], mesh
assert np.isnan(figures["glorot"].axes[1].lines[0].get_ydata()).all()
assert list(analyze.figures_of(files / "linear")) == ["violins", "heat-map"]

# ---- the command: every image whole, or none and one line
with tempfile.TemporaryDirectory() as scratch:
    scratch = Path(scratch)

    def run(*arguments):
        """As the command does, but in this process: matplotlib takes a second to load."""
        sys.argv = ["analyze.py", *map(str, arguments)]
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                analyze.main()
                code = 0
            except SystemExit as end:
                code = end.code
        if isinstance(code, str):  # what Python prints, and then ends with 1
            return 1, out.getvalue(), code + "\n"
        return code, out.getvalue(), err.getvalue()

    command = subprocess.run([sys.executable, script, "nothing"], capture_output=True, text=True)
    os.chdir(scratch)
    assert (command.returncode, command.stdout, command.stderr) == run("nothing"), command
    for name in "mlp", "linear":  # drawing takes a second or two
        code, out, err = run(files / name, "--output", f"new/{name}")
        assert (code, err) == (0, ""), err
        images = sorted((scratch / "new" / name).iterdir())
        assert sorted(out.split()) == [f"new/{name}/{image.name}" for image in images]
        for image in images:
            content = image.read_bytes()
            assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[-8:-4] == b"IEND", image
            assert 3000 < len(content) < 100000, (image, len(content))
        assert len(images) == (2 if name == "linear" else 3)

    def changed(name, change):
        path = scratch / f"{name}.h5"
        shutil.copy(files / "mlp/history.h5", path)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    def damage(file):
        chunk = file["gradients/histogram/counts"].id.get_chunk_info(0)
        file.close()
        with open(scratch / "damaged.h5", "r+b") as raw:
            raw.seek(chunk.byte_offset + chunk.size // 2)
            raw.write(b"\xff\x00\xff\x00")

    def other_shape(file):
        del file["activations/forward_variance/forward_variance"]
        file["activations/forward_variance/forward_variance"] = np.zeros((9, 9))

    (scratch / "empty").mkdir()
    (scratch / "cut.h5").write_bytes((files / "mlp/history.h5").read_bytes()[:9000])
    for said, *arguments in [
            ("there is no such file", "nothing"),
            ("neither history.h5 nor a checkpoint", "empty"),
            ("is not an HDF5 file", script),
            ("cut.h5: ", "cut.h5"),
            ("is evengrad-ledger", files / "mlp/ledger-00000010.h5"),
            ("is evengrad-sweep", files / "sweep.h5"),
            ("--step 0: the file has statistics of steps 1 to 30", files / "mlp", "--step", 0),
            ("--step 31: the file has statistics of", files / "mlp", "--step", 31),
            ("--step 2: the file has the gradient of step 1", files / "mlp/gradients-00000001.h5",
             "--step", 2),
            ("no group /gradients: nothing was recorded", changed("bare", lambda f: f.pop("gradients"))),
            ("/gradients/norm_l2/norm_l2 is missing",
             changed("lacking", lambda f: f["gradients/norm_l2"].pop("norm_l2"))),
            ("/forward_variance has the shape (9, 9), expected (3, 7)", changed("shape", other_shape)),
            ("damaged.h5: ", changed("damaged", damage)),
            ("empty.png", files / "mlp", "--output", "empty.png")]:
        (scratch / "empty.png").touch()
        before = sorted(scratch.rglob("*"))
        code, out, err = run(*arguments)
        assert code == 1 and out == "", (arguments, code, out, err)
        assert err.count("\n") == 1 and err.startswith("analyze.py: error: ") and said in err, (arguments, err)
        assert sorted(scratch.rglob("*")) == before, arguments
    assert run()[0] == 2 and run(files / "mlp", "--step", "x")[0] == 2
    os.chdir("/")
print("figures as they should be")
