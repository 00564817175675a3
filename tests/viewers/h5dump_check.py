"""h5dump, the HDF5 library's own tool: values, types, filters and attributes as documented.

usage: h5dump_check.py FILES
"""

import re
import shutil
import subprocess

from known import Metrics, every_file, files, from_json, give_up, near

if shutil.which("h5dump") is None:
    give_up("there is no h5dump")


def dump(file, *options):
    done = subprocess.run(["h5dump", *options, files / file], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", (file, options, done.stderr)
    return done.stdout


def values(file, dataset):
    """All numbers of a dataset: -y leaves out the indices."""
    text = dump(file, "-y", "-w", "0", "-m", "%.17g", "-d", dataset)
    data = re.search(r"DATA \{\n(.*?)\n *\}", text, re.DOTALL).group(1)
    return [float(number) for number in data.replace(",", " ").split()]


def text_of(file, attribute):
    return re.search(r'\(0\): "(.*)"', dump(file, "-a", attribute)).group(1)


# Every byte of every file can be read; with -H alone h5dump would look at no data.
for path in every_file:
    assert "FILE_CONTENTS" in dump(path, "-n") and "ATTRIBUTE" in dump(path), path

for run in "mlp", "gpt":
    metrics = Metrics(run)
    for file in f"{run}/latest", f"{run}/history.h5":
        near(values(file, "/training/step"), list(metrics.steps))
        near(values(file, "/training/loss/train_loss"), metrics.of("loss"))
        near(values(file, "/training/grad_norm/before_clip"), metrics.of("grad_norm"))
        near(values(file, "/training/validation/validation_loss"),
             [line["valid_loss"] for line in metrics.evaluations.values()])
        assert text_of(file, "/training/loss/signal") == "train_loss"
        assert text_of(file, "/default") == "training"
        assert text_of(file, "/gradients/default") == "norm_l2"
        counts = dump(file, "-p", "-H", "-d", "/gradients/histogram/counts")
        for part in "H5T_STD_U64LE", "CHUNKED", "SHUFFLE", "DEFLATE { LEVEL 4 }", "FLETCHER32":
            assert part in counts, counts

weight = dump("mlp/latest", "-p", "-H", "-d", "/model/parameters/layers/1/weight")
for part in "H5T_IEEE_F32LE", "( 32, 32 )", "CONTIGUOUS", "NONE":
    assert part in weight, weight
assert text_of("mlp/latest", "/model/parameters/layers/1/weight/name") == "layers.1.weight"

accuracies = [cell["valid_accuracy"] for point in from_json("sweep.json")["points"]
              for cell in point["cells"]]
near(values("sweep.h5", "/sweep/valid_accuracy/valid_accuracy"), accuracies)
near(values("audit.h5", "/batches/production/production_error"),
     [batch["production"]["error"] for batch in from_json("audit.json")["batches"]])
squares = [value ** 2 for layer in range(4) for kind in ("weight", "bias")
           for value in values("mlp/gradients-00000020.h5", f"/gradients/raw/20/layers/{layer}/{kind}")]
near(sum(squares) ** 0.5, Metrics("mlp").steps[20]["grad_norm"], 1e-6)
print("as expected")
