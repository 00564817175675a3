// What h5py makes of a checkpoint.
#include "checkpoint/gradient_file.hpp"
#include "checkpoint/history_file.hpp"
#include "checkpoint/saved_run.hpp"
#include "statistics/columns.hpp"

namespace evengrad {
namespace {

using namespace test;
namespace fs = std::filesystem;

class H5py : public testing::Test {
  protected:
    H5py() {
        Trainer trainer(world(), config_, &data_);
        file_ = save(trainer, folder_.path(), history_of(run_steps(trainer, 3).records),
                     "options = 1\n");
    }

    ScratchFolder folder_;
    Dataset data_{resume_data()};
    TrainConfig config_ = resume_config(OptimizerKind::adamw);
    fs::path file_;
};

TEST_F(H5py, ReadsWeightsWithTheirNamesAndShapes) {
    const CheckpointInfo info = read_checkpoint_info(file_);
    const ParameterTable table(info.model);
    const Tensor& tensor = table[table.find("blocks.0.attn.qkv.weight")];
    std::vector<float> values(static_cast<std::size_t>(tensor.count));
    CheckpointTensors(file_).read(tensor, TensorPart::weights, values);
    EXPECT_TRUE(run_python(folder_, fmt::format(R"(
f = h5py.File('{}')
d = f['model/parameters/blocks/0/attn/qkv/weight']
assert d.shape == (96, 32) and d.dtype == np.float32, (d.shape, d.dtype)
assert d.attrs['name'] == 'blocks.0.attn.qkv.weight', d.attrs['name']
assert list(d.attrs['dims']) == ['out', 'in'], d.attrs['dims']
assert d[5, 7] == np.float32({:.9g}), d[5, 7]
names = []
f['model/parameters'].visititems(
    lambda path, o: names.append((int(o.attrs['index']), o.attrs['name'], path))
    if isinstance(o, h5py.Dataset) else None)
names.sort()
assert [n[0] for n in names] == list(range({})), names
assert all(n[1].replace('.', '/') == n[2] for n in names), names
for moment in 'exp_avg', 'exp_avg_sq':
    assert all(f['optimizer'][moment][n[2]].shape == f['model/parameters'][n[2]].shape for n in names)
assert f['training/step'][()].tolist() == [1, 2, 3]
assert f['training/loss/train_loss'].shape == (3,)
assert f.attrs['schema'] == 'evengrad-checkpoint' and f.attrs['default'] == 'training'
assert f['model'].attrs['architecture'] == 'gpt' and f['optimizer'].attrs['algorithm'] == 'adamw'
)",
                                                file_.string(), values[5 * 32 + 7], table.size())));
}

TEST_F(H5py, ReadsStatisticsAsPlotsAndTheyAreThoseOfTheStoredWeights) {
    const StatisticsHistory statistics = read_checkpoint_info(file_).history.statistics;
    ASSERT_FALSE(statistics.samples.empty());
    EXPECT_TRUE(run_python(folder_, fmt::format(R"(
f = h5py.File('{}')
for entry, columns in (('gradients', 'norm_l2 mean std min max zero_fraction quantum_exponent '
                                     'rounded_to_zero_fraction'),
                       ('weights', 'norm_l2 mean std min max zero_fraction update_ratio')):
    e = f[entry]
    assert e.attrs['NX_class'] == 'NXentry' and e.attrs['default'] == 'norm_l2'
    layers, steps = e['layer'].size, e['step'].size
    assert steps == {} and e['merged'][()].tolist() == [1] * steps
    assert e['layer'].attrs['units'] != e['step'].attrs['units']
    assert e['layer_name'].asstr()[0] == 'wte.weight' and e['numel'][0] == 2100 * 32
    for name in columns.split():
        g = e[name]
        assert g.attrs['NX_class'] == 'NXdata' and g.attrs['signal'] == name, dict(g.attrs)
        assert list(g.attrs['axes']) == ['layer', 'step'], g.attrs['axes']
        d = g[name]
        assert d.shape == (layers, steps) and d.dtype == np.float32, (d.shape, d.dtype)
        assert [list(dim.keys()) for dim in d.dims] == [['layer'], ['step']]
        assert g['layer'] == e['layer'] and g['step'] == e['step'], 'not hard links'
        assert 'units' in d.attrs and 'long_name' in d.attrs and d.attrs['interpretation'] == 'image'
    g = e['histogram']
    assert list(g.attrs['axes']) == ['layer', 'histogram_step', 'octave'] and g.attrs['signal'] == 'counts'
    counts = g['counts']
    assert counts.shape == (layers, steps, 285) and counts.dtype == np.uint64
    assert [list(dim.keys()) for dim in counts.dims] == [['layer'], ['histogram_step'], ['octave']]
    assert (counts[()].sum(axis=2) == e['numel'][()][:, None]).all()
    assert e['bin'].shape == (285,) and e['bin_edge'].shape == (286,) and e['bin_edge'][-1] == 65536
    octave = e['octave'][()]
    assert (octave == np.arange(-142, 143)).all()
    expected = np.sign(octave) * 2.0 ** (np.abs(octave) - 127)
    assert (e['bin_edge'][:-1][octave > 0] == expected[octave > 0]).all()
    assert (e['bin_edge'][1:][octave < 0] == expected[octave < 0]).all()
# After the last recorded step nothing changed the weights.
w = f['weights']
edges = w['bin_edge'][()]
for i, name in enumerate(w['layer_name'].asstr()):
    values = f['model/parameters/' + name.replace('.', '/')][()].ravel().astype('f8')
    near = lambda column, expected: np.testing.assert_allclose(
        w[column][column][i, -1], expected, rtol=2e-6, atol=1e-9, err_msg=name + ' ' + column)
    near('norm_l2', np.sqrt((values ** 2).sum()))
    near('mean', values.mean())
    near('std', values.std())
    near('zero_fraction', (values == 0).mean())
    assert w['min/min'][i, -1] == values.min() and w['max/max'][i, -1] == values.max()
    bins = 142 + np.sign(values) * np.where(values == 0, 0, np.frexp(values)[1] + 126)
    expected = np.bincount(bins.astype(int), minlength=285)
    assert (w['histogram/counts'][i, -1] == expected).all(), name
assert (w['update_ratio/update_ratio'][()] > 0).all()
g = f['gradients/norm_l2/norm_l2'][()]
updated = np.isin(f['training/step'][()], f['gradients/step'][()])
whole = f['training/grad_norm/before_clip'][()][updated]
np.testing.assert_allclose(np.sqrt((g.astype('f8') ** 2).sum(axis=0)), whole, rtol=1e-6)
assert (whole > 1.01 * f['training/grad_norm/after_clip'][()][updated]).any(), 'nothing was clipped'
)",
                                                file_.string(), statistics.samples.size())));
}

TEST_F(H5py, ReadsLayersAsPlots) {
    const auto& samples = read_checkpoint_info(file_).history.statistics.samples;
    ASSERT_GT(samples.size(), 1u);
    std::string expected;  // by name, layer, step
    for (const LayerColumn& column : layer_columns()) {
        expected += fmt::format("'{}': [", column.name);
        for (std::size_t l = 0; l < samples[0].layers.size(); ++l) {
            expected += '[';
            for (const auto& sample : samples)
                expected += fmt::format("{}, ", column.value(sample.layers[l]));
            expected += "], ";
        }
        expected += "], ";
    }
    Trainer trainer(world(), config_, &data_);
    const fs::path one_step =
        save(trainer, folder_.path(), history_of(run_steps(trainer, 1).records), "options = 1\n");
    // One layer has no image: silx would refuse it.
    config_.model.gpt().num_layers = 1;
    Trainer small(world(), config_, &data_);
    const TrainingHistory history = history_of(run_steps(small, 3).records);
    const fs::path one_layer = folder_ / "one_layer.h5";
    write_history(one_layer, config_.model, history);
    {
        const auto read = hdf5::File::open(one_layer);
        EXPECT_TRUE(read_statistics(read.root(), config_.model, 3) == history.statistics);
    }
    EXPECT_TRUE(run_python(
        folder_, fmt::format(R"(
f = h5py.File('{}')
e = f['activations']
expected = {{{}}}
assert e.attrs['NX_class'] == 'NXentry' and e.attrs['default'] == 'glorot'
assert e['layer_name'].asstr()[()].tolist() == ['blocks.0.mlp.fc', 'blocks.1.mlp.fc']
assert e['inputs'][()].tolist() == [32, 32] and e['units'][()].tolist() == [64, 64]
assert (e['step'][()] == f['gradients/step'][()]).all() and (e['merged'][()] == 1).all()
assert len(expected) == 7
for name, values in expected.items():
    d = e[name][name]
    assert d.dtype == np.float64 and (d[()] == np.array(values)).all(), (name, d[()])
for name in ('forward_variance', 'backward_variance', 'input_norm', 'derivative_mean_square'):
    assert (e[name][name][()] > 0).all(), name
g = e['glorot']
assert list(g.attrs['axes']) == ['step', 'layer'] and g.attrs['signal'] == 'forward_variance'
assert list(g.attrs['auxiliary_signals']) == ['backward_variance']
for name in ('forward_variance', 'backward_variance'):
    assert g[name].attrs['interpretation'] == 'spectrum'
    assert (g[name][()] == np.array(expected[name]).T).all()
one = h5py.File('{}')['activations']
assert 'glorot' not in one and one.attrs['default'] == 'forward_variance'
one = h5py.File('{}')['activations']
assert one['glorot/forward_variance'].shape[1] == 1
assert one['input_norm/input_norm'].ndim == 1
assert list(one['input_norm'].attrs['axes']) == ['step']

# What viewers ask of every plot.
plots = []
def look(path, group):
    if group.attrs.get('NX_class') != 'NXdata': return
    plots.append(path)
    axes = [group[name] for name in group.attrs['axes']]
    names = [group.attrs['signal'], *group.attrs.get('auxiliary_signals', [])]
    for d in (group[name] for name in names):
        assert d.shape == tuple(axis.size for axis in axes), (path, d.shape)
        assert [dim[0] == axis for dim, axis in zip(d.dims, axes)] == [True] * len(axes), path
    for axis in axes:
        assert axis.ndim == 1 and axis.dtype.kind in 'if' and axis.size <= 4096, (path, axis)
    units = [axis.attrs['units'] for axis in axes[-2:]]
    assert len(set(units)) == len(units), (path, units)
f.visititems(look)
assert len(plots) > 30 and 'activations/glorot' in plots, plots
)",
                             file_.string(), expected, one_step.string(), one_layer.string())));
}

TEST_F(H5py, ReadsTheGradientOfAStep) {
    const ParameterTable table(config_.model);
    std::vector<float> values(static_cast<std::size_t>(table.flat_size()), 0.0f);
    const Tensor& tensor = table[table.find("blocks.1.mlp.fc.weight")];
    values[static_cast<std::size_t>(tensor.offset) + 33] = 1.5f;
    const fs::path file = folder_ / gradient_file_name(12);
    EXPECT_EQ(file.filename(), "gradients-00000012.h5");
    write_gradient(file, table, {12, 1.5, 70.0, values});
    EXPECT_TRUE(run_python(folder_, fmt::format(R"(
f = h5py.File('{}')
assert f.attrs['schema'] == 'evengrad-gradient' and f.attrs['complete'] == 1
g = f['gradients/raw/12']
assert dict(g.attrs, NX_class='') == dict(NX_class='', step=12, norm_l2=1.5, denominator=70.0)
d = g['blocks/1/mlp/fc/weight']
assert d.shape == (64, 32) and d.dtype == np.float32 and d[1, 1] == 1.5 and np.abs(d).sum() == 1.5
p = h5py.File('{}')['model/parameters/blocks/1/mlp/fc/weight']
for name in ('name', 'index'):
    assert d.attrs[name] == p.attrs[name], name
assert list(d.attrs['dims']) == list(p.attrs['dims']) and 'crc32c' in d.attrs
squares = []
g.visititems(lambda _, d: squares.append((d[()] ** 2).sum()) if isinstance(d, h5py.Dataset) else None)
assert len(squares) == {} and sum(squares) == 2.25
)",
                                                file.string(), file_.string(), table.size())));
    write_gradient(folder_ / gradient_file_name(7), table, {7, 1.5, 70.0, values});
    remove_gradients_after(folder_.path(), 7);
    EXPECT_FALSE(fs::exists(file));
    EXPECT_TRUE(fs::exists(folder_ / gradient_file_name(7)));
}

}  // namespace
}  // namespace evengrad
