// What the commands of `cess` share: how they are declared, how they reach the network, how they print.
#pragma once

#include <objectstore/client/client.hpp>

// Every file compiles all of CLI11, which is inline and virtual. It runs once a process: unoptimised it compiles in half the time.
#pragma GCC push_options
#pragma GCC optimize("O0")
#include <CLI/CLI.hpp>
#pragma GCC pop_options

#include <nlohmann/json.hpp>

#include <functional>
#include <string>

namespace cess::cli {

// Filled while the command line is parsed; main runs `action` afterwards. `action` answers the exit code.
struct context {
    std::string conf;
    bool json = false;
    std::function<result<int>()> action;

    // Configuration and connection; called by actions that need them. Says what was tried where there is none.
    [[nodiscard]] result<client::config> configuration() const;
    [[nodiscard]] result<std::unique_ptr<client::runtime>> connect() const;
};

// A command that talks to the network: has --conf, and --json if it prints.
CLI::App* add_command(CLI::App& in, context& c, const std::string& name, const std::string& does, bool prints);

void add_volume_commands(CLI::App& app, context& c);
void add_limit_command(CLI::App& volume, context& c);  // `cess volume limit`
void add_lost_command(CLI::App& volume, context& c);   // `cess volume lost`
void add_snapshot_commands(CLI::App& app, context& c);
void add_diff_commands(CLI::App& app, context& c);
void add_export_command(CLI::App& app, context& c);
void add_import_command(CLI::App& app, context& c);
void add_account_commands(CLI::App& app, context& c);
void add_health_commands(CLI::App& app, context& c);  // status, fsck
void add_umount_command(CLI::App& app, context& c);
void add_mount_commands(CLI::App& app, context& c);  // info, warmup
void add_copy_command(CLI::App& app, context& c);
void add_quota_commands(CLI::App& app, context& c);
void add_trash_commands(CLI::App& app, context& c);
void add_dev_commands(CLI::App& app, context& c);

// ---- printing --------------------------------------------------------------------------------------------

void print(const std::string& text);  // to standard output, with a newline
[[nodiscard]] result<void> write_output(byte_view data);  // of a stream, which ends where nobody takes it any more
void print_json(const nlohmann::json& value);
[[nodiscard]] bool standard_error_is_terminal();
// Rows of cells, the first being the head; columns aligned.
void print_table(const std::vector<std::vector<std::string>>& rows);
// A line that is drawn again and again on a terminal and absent in a pipe.
class progress_line {
public:
    explicit progress_line(std::string what);
    ~progress_line();
    void show(std::uint64_t done, std::uint64_t total);

private:
    std::string m_what;
    bool m_terminal;
    int m_shown = -1;
};
// One line whatever it holds: control characters replaced, what is too long cut.
[[nodiscard]] std::string one_line(std::string text);
[[nodiscard]] std::string utc(std::uint64_t unix_seconds);
[[nodiscard]] nlohmann::json limits_json(const client::io_limits& limits);
// Of what limits_json() made, or of null: known only to the process that has the volume attached.
[[nodiscard]] std::string limits_text(const nlohmann::json& limits, const std::string& volume);

// ---- arguments -------------------------------------------------------------------------------------------

[[nodiscard]] result<ledger::shape> parse_geometry(std::string_view text);  // "4+2"
[[nodiscard]] std::string to_string(const ledger::shape& geometry);
[[nodiscard]] result<ledger::volume_type> parse_type(std::string_view text);
// A volume's name without "@snapshot"; with it, where a snapshot is meant.
[[nodiscard]] result<std::string> volume_name(const std::string& text);
[[nodiscard]] result<volume::target> snapshot_name(const std::string& text);
[[nodiscard]] result<std::uint64_t> device_size(const std::string& text, ledger::volume_type type);

}  // namespace cess::cli
