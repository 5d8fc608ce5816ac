// cess export.
#include "context.hpp"

#include <fs/export.hpp>
#include <objectstore/client/history.hpp>

namespace cess::cli {
namespace {

result<int> export_volume(context& c, const std::string& text) {
    TRY(const auto what, volume::parse_target(text));
    TRY(auto runtime, c.connect());
    TRY(const auto held, client::held_state::hold(*runtime, what, ledger::volume_type::filesystem, "export"));
    const auto write = [](std::string_view line) { return write_output(as_view(line)); };
    CHECK_OK(fs::export_metadata(held->data(), {what.name, what.snapshot}, write));
    return 0;
}

}  // namespace

void add_export_command(CLI::App& app, context& c) {
    const auto what = std::make_shared<std::string>();
    auto* command = add_command(app, c, "export", "Write a filesystem's metadata to standard output, as JSON lines", false);
    command->add_option("volume", *what, "The volume, or a snapshot of it")->required()->option_text("VOLUME[@SNAPSHOT]");
    command->callback([&c, what] { c.action = [&c, what] { return export_volume(c, *what); }; });
}

}  // namespace cess::cli
