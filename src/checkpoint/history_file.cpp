#include "checkpoint/history_file.hpp"

#include "hdf5/nexus.hpp"
#include "hdf5/publish.hpp"

namespace evengrad {

void write_training(hdf5::Group& root, const TrainingHistory& history) {
    hdf5::Group training = root.create_group("training", "NXentry");
    if (history.step.empty()) return;
    training.set("default", std::string("loss"));
    const hdf5::Dataset step =
        hdf5::write_scale(training, {"step", "step", "optimizer step"}, history.step);
    const auto curve = [&](const char* group_name, const hdf5::Label& label, const auto& values) {
        hdf5::Group group = training.create_group(group_name, "NXdata");
        hdf5::write_nxdata(group, label, values, {&step});
        return group;
    };
    curve("loss", {"train_loss", "nats", "training loss per token"}, history.loss);
    hdf5::Group norm = curve("grad_norm", {"before_clip", "1", "gradient norm before clipping"},
                             history.grad_norm);
    hdf5::add_auxiliary_signal(norm, {"after_clip", "1", "gradient norm after clipping"},
                               history.clipped_grad_norm);
    const hdf5::Label noise_scale{"noise_scale", "tokens", "gradient noise scale"};
    hdf5::Group noise = curve("noise_scale", noise_scale, history.noise_scale);
    hdf5::add_errors(noise, noise_scale, history.noise_scale_error);
    hdf5::Group parts = curve("gradient_noise", {"noise", "1", "variance of a token's gradient"},
                              history.gradient_noise);
    hdf5::add_auxiliary_signal(parts, {"signal", "1", "squared norm of the true gradient"},
                               history.gradient_signal);
    curve("skipped", {"skipped", "updates", "updates left out"}, history.skipped);
    curve("learning_rate", {"learning_rate", "1", "learning rate"}, history.lr);
    curve("tokens", {"tokens", "tokens", "tokens with a loss"}, history.loss_tokens);
    curve("tokens_per_second", {"tokens_per_second", "tokens/s", "tokens per second"},
          history.tokens_per_second);
    if (history.validation_step.empty()) return;
    hdf5::Group validation = training.create_group("validation", "NXdata");
    const hdf5::Dataset own_step =
        hdf5::write_scale(validation, {"step", "step", "optimizer step"}, history.validation_step);
    hdf5::write_nxdata(validation, {"validation_loss", "nats", "held-out loss per token"},
                       history.validation_loss, {&own_step});
    validation.write_text("evaluated", history.validation_set);
    validation.write_scalar("first_comparable", history.validation_first);
}

void write_history(const std::filesystem::path& file, const ModelConfig& model,
                   const TrainingHistory& history) {
    hdf5::PublishedFile out(file);
    {
        hdf5::Group root = out.root();
        hdf5::write_root(out.root(), {"evengrad-history", "1.0", "training"});
        write_training(root, history);
        write_statistics(root, model, history.statistics);
    }
    out.publish();
}

}  // namespace evengrad
