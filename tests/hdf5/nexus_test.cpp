#include "hdf5/nexus.hpp"

#include <cstdlib>

#include <gtest/gtest.h>
#include <hdf5.h>
#include <hdf5_hl.h>

#include "hdf5/scratch_folder.hpp"

namespace evengrad::hdf5 {
namespace {

using test::contains;
using test::message_of;
using test::ScratchFolder;

using Texts = std::vector<std::string>;

class HdfNexus : public testing::Test {
  protected:
    void SetUp() override {
        File file = File::create(folder_ / "a.h5");
        {
            Group training = file.root().create_group("training", "NXentry");
            training.set("default", "loss");
            const Dataset step =
                write_scale(training, {"step", "step", "Step"}, std::vector<std::int64_t>{1, 2, 3});
            Group loss = training.create_group("loss", "NXdata");
            write_nxdata(loss, {"train_loss", "nats", "Training loss"},
                         std::vector<double>{5.5, 5.0, 4.5}, {&step});

            Group validation = training.create_group("validation", "NXdata");
            const Dataset rare =
                write_scale(validation, {"step", "step", "Step"}, std::vector<std::int64_t>{1, 3});
            write_nxdata(validation, {"valid_loss", "nats", "Held-out loss"},
                         std::vector<double>{5.6, 4.6}, {&rare});

            Group norms = training.create_group("grad_norm", "NXdata");
            write_nxdata(norms, {"before_clip", "1", "Gradient norm"}, std::vector<float>{3, 2, 1},
                         {&step});
            add_auxiliary_signal(norms, {"after_clip", "1", "after clipping"},
                                 std::vector<float>{1, 1, 1});

            const Dataset layer =
                write_scale(training, {"layer", "index", "Layer"}, std::vector<std::int32_t>{0, 1});
            Group image = training.create_group("image", "NXdata");
            write_nxdata(image, {"norm", "1", "Norm"}, std::vector<float>{1, 2, 3, 4, 5, 6},
                         {&layer, &step});
        }
        file.close();
    }

    const ScratchFolder folder_;
};

TEST_F(HdfNexus, SaysWhatToPlot) {
    const File file = File::open(folder_ / "a.h5");
    const Group training = file.root().open_group("training");
    const Group loss = training.open_group("loss");
    EXPECT_EQ(loss.get<std::string>("NX_class"), "NXdata");
    EXPECT_EQ(loss.get<std::string>("signal"), "train_loss");
    EXPECT_EQ(loss.get<Texts>("axes"), (std::vector<std::string>{"step"}));
    EXPECT_EQ(loss.get<std::int64_t>("step_indices"), 0);
    const Dataset signal = loss.open_dataset("train_loss");
    EXPECT_EQ(signal.get<std::string>("units"), "nats");
    EXPECT_EQ(signal.get<std::string>("long_name"), "Training loss");
    EXPECT_EQ(signal.get<std::string>("interpretation"), "spectrum");

    const Group norms = training.open_group("grad_norm");
    EXPECT_EQ(norms.get<std::string>("signal"), "before_clip");
    EXPECT_EQ(norms.get<Texts>("auxiliary_signals"), (std::vector<std::string>{"after_clip"}));
    EXPECT_EQ(norms.read<float>("after_clip", 3), (std::vector<float>{1, 1, 1}));

    const Group image = training.open_group("image");
    EXPECT_EQ(image.get<Texts>("axes"), (std::vector<std::string>{"layer", "step"}));
    EXPECT_EQ(image.get<std::int64_t>("step_indices"), 1);
    EXPECT_EQ(image.open_dataset("norm").shape(), (Shape{2, 3}));
    EXPECT_EQ(image.open_dataset("norm").get<std::string>("interpretation"), "image");
}

TEST_F(HdfNexus, AxesAreDirectChildrenAndAttachedScales) {
    const File file = File::open(folder_ / "a.h5");
    const Group training = file.root().open_group("training");
    EXPECT_EQ(training.open_group("loss").read<std::int64_t>("step", 3),
              (std::vector<std::int64_t>{1, 2, 3}));
    EXPECT_EQ(training.open_group("validation").read<std::int64_t>("step", 3),
              (std::vector<std::int64_t>{1, 3}));

    const Dataset scale = training.open_dataset("step");
    EXPECT_GT(H5DSis_scale(scale.id()), 0);
    char name[8] = {};
    EXPECT_EQ(H5DSget_scale_name(scale.id(), name, sizeof name), 4);
    EXPECT_STREQ(name, "step");
    for (const char* path : {"loss/train_loss", "grad_norm/before_clip", "grad_norm/after_clip"}) {
        const Dataset signal = training.open_dataset(path);
        EXPECT_GT(H5DSis_attached(signal.id(), scale.id(), 0), 0) << path;
    }
    const Dataset image = training.open_dataset("image/norm");
    EXPECT_GT(H5DSis_attached(image.id(), training.open_dataset("layer").id(), 0), 0);
    EXPECT_GT(H5DSis_attached(image.id(), scale.id(), 1), 0);
    EXPECT_EQ(H5DSis_attached(image.id(), scale.id(), 0), 0);
    EXPECT_EQ(H5DSis_attached(training.open_dataset("validation/valid_loss").id(), scale.id(), 0),
              0);
}

TEST_F(HdfNexus, ValuesMustFillTheAxes) {
    File file = File::create(folder_ / "b.h5");
    {
        Group root = file.root();
        const Dataset step =
            write_scale(root, {"step", "step", "Step"}, std::vector<std::int64_t>{1, 2, 3});
        Group group = root.create_group("g", "NXdata");
        EXPECT_THROW(write_nxdata(group, {"x", "1", "x"}, std::vector<float>{1, 2}, {&step}),
                     std::logic_error);
        const Dataset no_scale = root.write("plain", std::vector<float>{1, 2}, {2});
        EXPECT_THROW(write_nxdata(group, {"y", "1", "y"}, std::vector<float>{1, 2}, {&no_scale}),
                     std::logic_error);
    }
    file.close();
}

TEST_F(HdfNexus, RootAttributes) {
    ASSERT_EQ(::setenv("SOURCE_DATE_EPOCH", "1700000000", 1), 0);
    File file = File::create(folder_ / "b.h5");
    {
        Group root = file.root();
        write_root(file.root(), {"evengrad-checkpoint", "1.0", "training"});
        EXPECT_EQ(root.get<std::string>("NX_class"), "NXroot");
        EXPECT_EQ(root.get<std::string>("default"), "training");
        EXPECT_EQ(root.get<std::string>("creator"), "evengrad");
        EXPECT_EQ(root.get<std::string>("file_time"), "2023-11-14T22:13:20Z");
        EXPECT_TRUE(contains(root.get<std::string>("HDF5_Version"), {"1."}));

        EXPECT_TRUE(contains(message_of<Error>([&] { check_root(root, "evengrad-checkpoint", 1); }),
                             {"was not finished"}));
        root.set("complete", std::int64_t{1});
        check_root(root, "evengrad-checkpoint", 1);
        EXPECT_TRUE(contains(message_of<Error>([&] { check_root(root, "evengrad-history", 1); }),
                             {"b.h5: /: is no evengrad-history file"}));
        EXPECT_TRUE(contains(message_of<Error>([&] { check_root(root, "evengrad-checkpoint", 2); }),
                             {"has schema version 1.0, this program reads 2.x"}));

        ::setenv("SOURCE_DATE_EPOCH", "soon", 1);
        EXPECT_THROW(write_root(file.root(), {"s", "1.0", ""}), Error);
        ::unsetenv("SOURCE_DATE_EPOCH");
        write_root(file.root(), {"s", "1.0", ""});
        EXPECT_GT(root.get<std::string>("file_time"), "2025");
    }
    file.close();
}

}  // namespace
}  // namespace evengrad::hdf5
