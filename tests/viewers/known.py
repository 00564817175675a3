"""What the viewers' tests share: the numbers that files must show, from the run's text files.

Imported with the folder that make_files.sh filled as the script's first argument.
"""

import importlib
import json
import os
import sys
from pathlib import Path

SKIPPED = 77  # for ctest
files = Path(sys.argv[1]).resolve()


def need(*modules):
    """The modules, or the test is skipped; launch/test --viewers takes no excuse."""
    try:
        found = [importlib.import_module(module) for module in modules]
    except ImportError as problem:
        give_up(problem)
    return found[0] if len(found) == 1 else found


def give_up(problem):
    print(f"not tested: {problem} (launch/test --viewers installs what is needed)")
    sys.exit(1 if os.environ.get("EVENGRAD_VIEWERS") == "1" else SKIPPED)


class Metrics:
    """metrics.jsonl of a run: by step, what was logged."""

    def __init__(self, run):
        lines = [json.loads(line) for line in (files / run / "metrics.jsonl").open()]
        self.steps = {line["step"]: line for line in lines if "loss" in line}
        self.evaluations = {line["step"]: line for line in lines if "valid_loss" in line}

    def of(self, name):
        return [line[name] for line in self.steps.values()]


def from_json(name):
    return json.loads((files / name).read_text())


# Every file that has plots, and whether it has a model.
with_plots = [files / path for path in (
    "mlp/latest", "mlp/history.h5", "gpt/latest", "gpt/history.h5", "zeros/latest", "linear/latest",
    "sweep.h5", "audit.h5")]
ledgers = sorted(files.glob("*/ledger-*.h5"))
gradients = sorted(files.glob("*/gradients-*.h5"))
every_file = [*with_plots, *ledgers, *gradients]


def near(found, expected, tolerance=0.0):
    import numpy as np
    np.testing.assert_allclose(np.asarray(found, dtype="f8"), np.asarray(expected, dtype="f8"),
                               rtol=tolerance, atol=0)


def plots_of(file):
    """Path and group of each NXdata group of a file that h5py opened."""
    found = []
    file.visititems(lambda path, item: found.append((path, item))
                    if item.attrs.get("NX_class") == "NXdata" else None)
    return found
