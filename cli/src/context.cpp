#include "context.hpp"

#include <cerrno>
#include <ctime>

#include <unistd.h>

namespace cess::cli {
namespace {

constexpr std::size_t line_length_max = 600;
constexpr std::uint64_t sector = 512;

}  // namespace

result<client::config> context::configuration() const {
    TRY(const auto path, client::find_config(conf));
    return client::load_config(path);
}

result<std::unique_ptr<client::runtime>> context::connect() const {
    TRY(auto with, configuration());
    return client::runtime::start(std::move(with));
}

CLI::App* add_command(CLI::App& in, context& c, const std::string& name, const std::string& does, bool prints) {
    auto* command = in.add_subcommand(name, does);
    command->add_option("--conf", c.conf, "Configuration of the network and the account")->option_text("FILE");
    if (prints) command->add_flag("--json", c.json, "Print JSON");
    return command;
}

void print(const std::string& text) { std::printf("%s\n", text.c_str()); }

result<void> write_output(byte_view data) {
    if (std::fwrite(data.data(), 1, data.size(), stdout) == data.size()) return {};
    return errno_error("standard output", errno);
}

void print_json(const nlohmann::json& value) {
    print(value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

bool standard_error_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

void print_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        if (widths.size() < row.size()) widths.resize(row.size());
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
        }
        print(line);
    }
}

progress_line::progress_line(std::string what) : m_what(std::move(what)), m_terminal(standard_error_is_terminal()) {}

progress_line::~progress_line() {
    if (m_shown >= 0) std::fputs("\r\033[K", stderr);
}

void progress_line::show(std::uint64_t done, std::uint64_t total) {
    const auto percent = total == 0 ? 0 : static_cast<int>(done * 100 / total);
    if (!m_terminal || percent == m_shown) return;
    m_shown = percent;
    std::fprintf(stderr, "\r\033[K%s %d%% (%llu of %llu)", m_what.c_str(), percent, static_cast<unsigned long long>(done),
                 static_cast<unsigned long long>(total));
    std::fflush(stderr);
}

std::string one_line(std::string text) {
    for (auto& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    if (text.size() > line_length_max) text = text.substr(0, line_length_max / 2) + " ... " + text.substr(text.size() - line_length_max / 2);
    return text;
}

std::string utc(std::uint64_t unix_seconds) {
    if (unix_seconds == 0) return "-";
    const auto seconds = static_cast<std::time_t>(unix_seconds);
    std::tm parts{};
    if (!::gmtime_r(&seconds, &parts)) return "-";
    char text[40];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

result<ledger::shape> parse_geometry(std::string_view text) {
    const auto wrong = error(errc::invalid, "--ec \"" + std::string(text.substr(0, 40)) + "\": expected K+M such as 4+2, K from 1 to " +
                                                std::to_string(ledger::limits::data_fragments_max) + ", M from 0 to " +
                                                std::to_string(ledger::limits::parity_fragments_max));
    const auto plus = text.find('+');
    if (plus == std::string_view::npos) return wrong;
    const auto number = [](std::string_view digits) -> int {
        if (digits.empty() || digits.size() > 2 || digits.find_first_not_of("0123456789") != std::string_view::npos) return -1;
        return std::stoi(std::string(digits));
    };
    const int k = number(text.substr(0, plus));
    const int m = number(text.substr(plus + 1));
    if (k < 1 || k > ledger::limits::data_fragments_max || m < 0 || m > ledger::limits::parity_fragments_max) return wrong;
    ledger::shape out;
    out.k = static_cast<std::uint8_t>(k);
    out.m = static_cast<std::uint8_t>(m);
    return out;
}

std::string to_string(const ledger::shape& geometry) { return std::to_string(geometry.k) + "+" + std::to_string(geometry.m); }

result<ledger::volume_type> parse_type(std::string_view text) {
    for (const auto type : {ledger::volume_type::filesystem, ledger::volume_type::block, ledger::volume_type::bucket})
        if (text == ledger::to_string(type)) return type;
    return error(errc::invalid, "--type \"" + std::string(text.substr(0, 40)) + "\": expected fs, block or bucket");
}

result<std::string> volume_name(const std::string& text) {
    TRY(auto parsed, volume::parse_target(text));
    if (!parsed.snapshot.empty()) return error(errc::invalid, "\"" + text + "\" names a snapshot; a volume is meant here");
    return std::move(parsed.name);
}

result<volume::target> snapshot_name(const std::string& text) {
    TRY(auto parsed, volume::parse_target(text));
    if (parsed.snapshot.empty()) return error(errc::invalid, "\"" + text + "\" names no snapshot; expected VOLUME@SNAPSHOT");
    return parsed;
}

result<std::uint64_t> device_size(const std::string& text, ledger::volume_type type) {
    TRY(const auto size, parse_size(text));
    if (size == 0) return error(errc::invalid, "size 0: expected at least 1 MiB");
    if (size > ledger::limits::volume_size_max)
        return error(errc::too_large, "size " + text + ": at most " + format_size(ledger::limits::volume_size_max));
    if (type == ledger::volume_type::block && size % sector != 0)
        return error(errc::invalid, "size " + text + ": a block device has a whole number of 512-byte sectors");
    return size;
}

}  // namespace cess::cli
