#!/usr/bin/env python3
"""Reference values from PyTorch for evengrad's tests: writes gpt.h5, mlp.h5, optimizer.h5, schedule.h5.

Rerun it with PyTorch 1.13, h5py and NumPy (Debian 12: python3-torch, python3-h5py):

    python3 tests/reference/make_reference.py [DIRECTORY]

It writes beside itself unless a directory is given. All floats are float64, one thread, fixed
seeds, no time stamps: a second run on the same machine gives identical bytes. Another CPU or
another BLAS may change last digits. Nothing in the build runs this script; the tests read the
committed files.

gpt.h5: one packed micro-batch through a small GPT-2 (learned positions, pre-LayerNorm, causal
attention, tanh-GELU, biases, tied head without bias). Linear weights are [out, in]; the rows of
attn.qkv are all of q, then k, then v, with each one's heads contiguous.
    /parameters/PATH, /gradients/PATH   f64; PATH is the tensor's name with / for .
    /tokens, /targets i32[N], /weights f64[N], /lengths i32[sequences]   sum(lengths) == N
    /logits f64[N, vocab_size], /token_loss f64[N] (unweighted), /loss f64[1]
    loss = sum_n weights[n] * cross_entropy(logits[n], targets[n]), not divided by anything.
    Root attributes hold the configuration.

mlp.h5: one micro-batch of rows through a multilayer perceptron of each activation; normalization,
residuals and losses in all combinations. Features, values and weights are float32 numbers.
    /features f64[rows, inputs], /targets i32[rows], /values f64[rows, outputs], /weights f64[rows],
    /layer_widths i32[layers + 1]: what all have in common; attribute negative_slope
    /NAME/parameters, /NAME/gradients   f64, NAME as --activation has it: layer by layer the weight
    [out, in] and the bias, then the norm's weight and bias where there is one
    /NAME/outputs f64[rows, outputs], /NAME/loss f64[1]
    Attributes of /NAME: norm, residual, mse (0 or 1).
    loss = sum_r weights[r] * (cross_entropy(outputs[r], targets[r]) or mean((outputs - values)[r] ** 2))

optimizer.h5: twenty steps of each of torch.optim's optimizers over 24 parameters, once with weight
decay, once (NAME_plain) without and with other settings.
    /gradients f64[20, 24], /start f64[24], /shape f64[20]: what all have in common
    /NAME/parameters f64[20, 24]: after each step; its learning rate was base_lr * shape.
    Attributes of /NAME hold the settings, betas as beta1 and beta2.

schedule.h5: rates of torch.optim.lr_scheduler's schedules in 30 epochs, from 0.8 down to at least 0.05.
    /NAME f64[30]
    /losses f64[30], /plateau, /plateau_cooldown f64[30]: ReduceLROnPlateau's after each loss.
"""

import math
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

VOCAB_SIZE, SEQ_LENGTH, HIDDEN, FFN, HEADS, LAYERS = 257, 16, 24, 72, 3, 2
EPSILON = 1e-5
LENGTHS = [1, 2, 16, 7, 3, 11]
WIDTHS, ROWS, SLOPE = [5, 8, 8, 6, 4], 7, 0.2
STEPS, SIZE = 20, 24
PEAK, FLOOR, EPOCHS = 0.8, 0.05, 30


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.proj = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x):  # [T, hidden], one sequence
        length, size = x.shape[0], HIDDEN // HEADS
        q, k, v = (part.view(length, HEADS, size).transpose(0, 1)
                   for part in self.qkv(x).split(HIDDEN, dim=1))
        scores = q @ k.transpose(1, 2) / math.sqrt(size)  # [heads, T, T]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, -math.inf).softmax(dim=2) @ v
        return self.proj(mixed.transpose(0, 1).reshape(length, HIDDEN))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(HIDDEN, FFN)
        self.proj = nn.Linear(FFN, HIDDEN)

    def forward(self, x):
        return self.proj(F.gelu(self.fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.attn = Attention()
        self.ln_2 = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.mlp = Mlp()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(VOCAB_SIZE, HIDDEN)
        self.wpe = nn.Embedding(SEQ_LENGTH, HIDDEN)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(HIDDEN, eps=EPSILON)

    def forward(self, tokens):  # [T], one sequence -> [T, vocab_size]
        x = self.wte(tokens) + self.wpe(torch.arange(len(tokens)))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


def make_model():
    # RandomState's streams are frozen by NumPy's policy, unlike default_rng's and torch's.
    random = np.random.RandomState(20)
    model = Gpt()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = 1.0 if ".ln_" in "." + name and name.endswith("weight") else 0.0
            values = gain + 0.2 * random.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))
    return model


def make_batch():
    """A mix of weights 0, 1 and eighths; the sequence of 3 carries no loss at all."""
    random = np.random.RandomState(21)
    tokens, targets = [], []
    for length in LENGTHS:
        sequence = random.randint(0, VOCAB_SIZE, length + 1)
        sequence[0] = sequence[-1] = 256  # end-of-text starts a document and ends it
        tokens.append(sequence[:-1])
        targets.append(sequence[1:])
    count = sum(LENGTHS)
    kind = random.randint(0, 3, count)
    weights = np.choose(kind, [np.zeros(count), np.ones(count), random.randint(1, 16, count) / 8])
    weights[0] = 1.0
    start = sum(LENGTHS[:4])
    weights[start:start + LENGTHS[4]] = 0.0
    return np.concatenate(tokens), np.concatenate(targets), weights


def packed_forward(model, tokens):
    """The same function by other means: one pass over all sequences, torch's multi-head attention
    with a block-diagonal mask, normalization and GELU written out. Guards against a slip above."""
    def normalize(layer, x):
        centered = x - x.mean(1, keepdim=True)
        variance = (centered ** 2).mean(1, keepdim=True)
        return centered / (variance + EPSILON).sqrt() * layer.weight + layer.bias

    sequence = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    order = torch.arange(len(tokens))
    hidden_from = (sequence[:, None] != sequence[None, :]) | (order[:, None] < order[None, :])
    position = torch.cat([torch.arange(length) for length in LENGTHS])
    x = model.wte.weight[tokens] + model.wpe.weight[position]
    for block in model.blocks:
        y = normalize(block.ln_1, x)[:, None, :]
        mixed, _ = F.multi_head_attention_forward(
            y, y, y, HIDDEN, HEADS, block.attn.qkv.weight, block.attn.qkv.bias, None, None, False,
            0.0, block.attn.proj.weight, block.attn.proj.bias, attn_mask=hidden_from)
        x = x + mixed[:, 0, :]
        y = normalize(block.ln_2, x) @ block.mlp.fc.weight.T + block.mlp.fc.bias
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y ** 3)))
        x = x + y @ block.mlp.proj.weight.T + block.mlp.proj.bias
    return normalize(model.ln_f, x) @ model.wte.weight.T


def check_gradient(model, loss_of, relative=1e-7):
    """Central differences along one random direction per tensor."""
    random = np.random.RandomState(22)
    step = 1e-5
    for name, parameter in model.named_parameters():
        direction = torch.from_numpy(random.standard_normal(tuple(parameter.shape)))
        expected = float((parameter.grad * direction).sum())
        with torch.no_grad():
            parameter += step * direction
            above = float(loss_of())
            parameter -= 2 * step * direction
            below = float(loss_of())
            parameter += step * direction
        found = (above - below) / (2 * step)
        scale = float(parameter.grad.norm() * direction.norm())
        assert abs(found - expected) <= relative * scale, (name, found, expected)


def write(group, name, values, kind="<f8"):
    # No time stamps, so that a second run gives the same bytes.
    group.create_dataset(name, data=np.ascontiguousarray(values, dtype=kind), track_times=False)


def make_gpt(path):
    tokens, targets, weights = make_batch()
    model = make_model()
    token_ids, target_ids = torch.from_numpy(tokens), torch.from_numpy(targets)

    def run():
        logits = torch.cat([model(sequence) for sequence in token_ids.split(LENGTHS)])
        token_loss = F.cross_entropy(logits, target_ids, reduction="none")
        return logits, token_loss, (torch.from_numpy(weights) * token_loss).sum()

    logits, token_loss, loss = run()
    loss.backward()
    recorded = {name: parameter.detach().numpy().copy()
                for name, parameter in model.named_parameters()}  # before the checks touch them
    with torch.no_grad():
        assert torch.allclose(packed_forward(model, token_ids), logits, rtol=0, atol=1e-12)
    check_gradient(model, lambda: run()[2])

    with h5py.File(path, "w") as file:
        file.attrs.update({
            "vocab_size": np.int64(VOCAB_SIZE), "seq_length": np.int64(SEQ_LENGTH),
            "hidden": np.int64(HIDDEN), "ffn": np.int64(FFN), "heads": np.int64(HEADS),
            "layers": np.int64(LAYERS), "layer_norm_epsilon": np.float64(EPSILON)})
        for name, parameter in model.named_parameters():
            place = name.replace(".", "/")
            write(file, "parameters/" + place, recorded[name])
            write(file, "gradients/" + place, parameter.grad.numpy())
        write(file, "tokens", tokens, "<i4")
        write(file, "targets", targets, "<i4")
        write(file, "lengths", LENGTHS, "<i4")
        write(file, "weights", weights)
        write(file, "logits", logits.detach().numpy())
        write(file, "token_loss", token_loss.detach().numpy())
        write(file, "loss", [loss.item()])


ACTIVATIONS = {
    "identity": nn.Identity(), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "relu": nn.ReLU(),
    "leaky-relu": nn.LeakyReLU(SLOPE), "elu": nn.ELU(), "selu": nn.SELU(),
    "softplus": nn.Softplus(), "softsign": nn.Softsign(), "gelu": nn.GELU(),
    "gelu-tanh": nn.GELU(approximate="tanh"), "silu": nn.SiLU()}


class Layer(nn.Linear):
    """With the norm behind it: parameters are weight, bias, norm.weight, norm.bias, in this order."""
    def __init__(self, inputs, outputs, norm):
        super().__init__(inputs, outputs)
        if norm:
            self.norm = nn.LayerNorm(outputs, eps=EPSILON)


class Perceptron(nn.Module):
    def __init__(self, activation, norm, residual):
        super().__init__()
        last = len(WIDTHS) - 2
        self.layers = nn.ModuleList(Layer(WIDTHS[i], WIDTHS[i + 1], norm and i < last)
                                    for i in range(last + 1))
        self.activation, self.norm, self.residual = activation, norm, residual

    def forward(self, x):
        for layer in self.layers[:-1]:
            z = layer(x)
            y = self.activation(layer.norm(z) if self.norm else z)
            x = x + y if self.residual and y.shape == x.shape else y
        return self.layers[-1](x)


def make_mlp(path):
    random = np.random.RandomState(25)

    def numbers(*shape):
        return torch.from_numpy(random.standard_normal(shape).astype("f4").astype("f8"))
    features, values = numbers(ROWS, WIDTHS[0]), numbers(ROWS, WIDTHS[-1])
    targets = torch.from_numpy(random.randint(0, WIDTHS[-1], ROWS))
    weights = torch.from_numpy(random.randint(0, 9, ROWS) / 8)
    weights[0], weights[1] = 1.0, 0.0
    with h5py.File(path, "w") as file:
        file.attrs["negative_slope"] = np.float64(SLOPE)
        write(file, "layer_widths", WIDTHS, "<i4")
        for name, data in (("features", features), ("values", values), ("weights", weights)):
            write(file, name, data.numpy())
        write(file, "targets", targets.numpy(), "<i4")
        for i, (name, activation) in enumerate(ACTIVATIONS.items()):
            norm, residual, mse = i % 2, i // 2 % 2, i // 4 % 2
            model = Perceptron(activation, norm, residual)
            with torch.no_grad():
                for parameter_name, parameter in model.named_parameters():
                    gain = 1.0 if parameter_name.endswith("norm.weight") else 0.0
                    drawn = random.standard_normal(tuple(parameter.shape))
                    parameter.copy_(torch.from_numpy(gain + 0.4 * drawn))

            def run():
                outputs = model(features)
                each = (F.mse_loss(outputs, values, reduction="none").mean(1) if mse else
                        F.cross_entropy(outputs, targets, reduction="none"))
                return outputs, (weights * each).sum()
            outputs, loss = run()
            loss.backward()
            group = file.create_group(name)
            group.attrs.update({"norm": np.int64(norm), "residual": np.int64(residual),
                                "mse": np.int64(mse)})
            for what, tensors in (("parameters", list(model.parameters())),
                                  ("gradients", [p.grad for p in model.parameters()])):
                write(group, what, np.concatenate([t.detach().numpy().ravel() for t in tensors]))
            write(group, "outputs", outputs.detach().numpy())
            write(group, "loss", [loss.item()])
            check_gradient(model, lambda: run()[1], relative=1e-6)


def trajectory(make_optimizer, start, gradients, rates):
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = make_optimizer([parameter])
    rows = []
    for gradient, rate in zip(gradients, rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        rows.append(parameter.detach().numpy().copy())
    return np.stack(rows)


def make_optimizer_file(path):
    random = np.random.RandomState(23)
    start = random.standard_normal(SIZE)
    # Magnitudes from 1e-10, where epsilon counts, to 10; element 0 never has a gradient and
    # element 1 only from the sixth step on.
    gradients = random.standard_normal((STEPS, SIZE)) * 10.0 ** np.linspace(-10, 1, SIZE)
    gradients[:, 0] = 0.0
    gradients[:5, 1] = 0.0
    # Three steps of warm-up, then a cosine to a tenth.
    step = np.arange(STEPS)
    cosine = 0.1 + 0.45 * (1 + np.cos(np.pi * (step - 2) / (STEPS - 3)))
    shape = np.where(step < 3, (step + 1) / 3, cosine)

    optim = torch.optim
    adam = [{"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1},
            {"betas": (0.8, 0.999), "eps": 1e-6, "weight_decay": 0.0}]
    momentum = [{"momentum": 0.9, "weight_decay": 0.01}, {"momentum": 0.5, "weight_decay": 0.0}]
    runs = {
        "sgd": (optim.SGD, 0.1, [{"weight_decay": 0.01}, {"weight_decay": 0.0}]),
        "momentum": (optim.SGD, 0.02, momentum),
        "nesterov": (optim.SGD, 0.02, [{**settings, "nesterov": True} for settings in momentum]),
        "adagrad": (optim.Adagrad, 0.1, [{"eps": 1e-10, "weight_decay": 0.01},
                                         {"eps": 1e-6, "weight_decay": 0.0}]),
        "rmsprop": (optim.RMSprop, 0.01, [{"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.01},
                                          {"alpha": 0.9, "eps": 1e-6, "weight_decay": 0.0}]),
        "adam": (optim.Adam, 0.01, adam),
        "adamw": (optim.AdamW, 0.01, adam),
    }
    with h5py.File(path, "w") as file:
        write(file, "gradients", gradients)
        write(file, "start", start)
        write(file, "shape", shape)
        for kind, (make, base, variants) in runs.items():
            for name, settings in zip((kind, kind + "_plain"), variants):
                group = file.create_group(name)
                group.attrs["base_lr"] = np.float64(base)
                for key, value in settings.items():
                    if key == "betas":
                        group.attrs["beta1"], group.attrs["beta2"] = map(np.float64, value)
                    else:
                        group.attrs[key] = np.float64(value)
                write(group, "parameters", trajectory(lambda p: make(p, lr=base, **settings), start,
                                                      gradients, base * shape))


def optimizer_of_nothing():
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=PEAK)


def rates_of(make_scheduler):
    optimizer = optimizer_of_nothing()
    scheduler = make_scheduler(optimizer)
    rates = []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def plateau_rates(losses, **settings):
    optimizer = optimizer_of_nothing()
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=FLOOR, eps=0.0,
                                                           **settings)
    rates = []
    for loss in losses:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def make_schedule_file(path):
    of = torch.optim.lr_scheduler
    schedulers = {
        "step": lambda o: of.StepLR(o, step_size=7, gamma=0.5),
        "multi_step": lambda o: of.MultiStepLR(o, milestones=[5, 11, 20], gamma=0.5),
        "exponential": lambda o: of.ExponentialLR(o, gamma=0.92),
        "linear": lambda o: of.LinearLR(o, 1.0, FLOOR / PEAK, total_iters=25),
        "cosine": lambda o: of.CosineAnnealingLR(o, T_max=EPOCHS, eta_min=FLOOR),
        "restarts": lambda o: of.CosineAnnealingWarmRestarts(o, 7, eta_min=FLOOR),
        "longer_restarts": lambda o: of.CosineAnnealingWarmRestarts(o, 4, 2, eta_min=FLOOR),
        # (it has no floor)
        "polynomial": lambda o: of.PolynomialLR(o, total_iters=25, power=2.0),
    }
    # A fall that slows down, with noise and a loss that is not a number.
    random = np.random.RandomState(24)
    losses = 2.0 + 3.0 * 0.7 ** np.arange(EPOCHS) + 0.01 * random.standard_normal(EPOCHS)
    losses[4] = np.nan
    with h5py.File(path, "w") as file:
        for name, make in schedulers.items():
            write(file, name, rates_of(make))
        write(file, "losses", losses)
        write(file, "plateau", plateau_rates(losses, factor=0.5, patience=2, threshold=0.01))
        write(file, "plateau_cooldown", plateau_rates(losses, factor=0.5, patience=0,
                                                      threshold=1e-4, cooldown=3))


def main(arguments):
    directory = Path(arguments[0]) if arguments else Path(__file__).resolve().parent
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    make_gpt(directory / "gpt.h5")
    make_mlp(directory / "mlp.h5")
    make_optimizer_file(directory / "optimizer.h5")
    make_schedule_file(directory / "schedule.h5")


if __name__ == "__main__":
    main(sys.argv[1:])
