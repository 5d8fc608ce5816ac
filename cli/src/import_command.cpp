// cess import.
//
// The metadata is made in a clone of the snapshot that has its bytes. The clone is called cess-import-ID until all is there and
// checked, and only then gets its name: whoever dies before leaves that.
#include "context.hpp"

#include <core/base/log.hpp>
#include <core/os/file_system.hpp>
#include <fs/import.hpp>

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cess::cli {
namespace {

struct arguments {
    std::string name, from;
};

// Standard input, kept in a file without a name: it is read several times.
class kept_input {
public:
    explicit kept_input(int file) : m_file(file) {}
    ~kept_input() { ::close(m_file); }
    kept_input(const kept_input&) = delete;
    kept_input& operator=(const kept_input&) = delete;

    static result<std::unique_ptr<kept_input>> take(const std::string& directory) {
        CHECK_OK(os::posix_file_system().make_directories(directory));
        const int file = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (file < 0) return errno_error("a temporary file in " + directory, errno);
        auto out = std::make_unique<kept_input>(file);
        bytes part(1 * MiB);
        for (;;) {
            const auto got = ::read(STDIN_FILENO, part.data(), part.size());
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return errno_error("standard input", errno);
            if (got == 0) return out;
            CHECK_OK(out->append(byte_view(part).first(static_cast<std::size_t>(got)), directory));
        }
    }

    result<std::size_t> read(std::uint64_t offset, byte_span out) const {
        std::size_t done = 0;
        while (done < out.size()) {
            const auto got = ::pread(m_file, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return errno_error("temporary file", errno);
            if (got == 0) break;
            done += static_cast<std::size_t>(got);
        }
        return done;
    }

private:
    result<void> append(byte_view data, const std::string& directory) const {
        while (!data.empty()) {
            const auto put = ::write(m_file, data.data(), data.size());
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) return errno_error("temporary file in " + directory, errno);
            data = data.subspan(static_cast<std::size_t>(put));
        }
        return {};
    }

    const int m_file;
};

// What is wrong with the stream is no wrong use of the command.
error of_stream(error why) {
    if (why.code == errc::invalid) why.code = errc::corrupt;
    return why;
}

std::string full_name(const volume::target& what) { return what.name + "@" + what.snapshot; }

// The snapshot that has the stream's bytes: the one that was exported, if nobody says another.
result<volume::target> base_of(client::runtime& on, const fs::import_header& stream, const std::string& given) {
    if (!given.empty()) return snapshot_name(given);
    if (stream.snapshot.empty())
        return error(errc::invalid, "the stream is of volume " + one_line(stream.volume) + " as it was at no snapshot; say which one has its files' bytes: --from " +
                                        one_line(stream.volume) + "@SNAPSHOT");
    TRY(const auto named, snapshot_name(stream.volume + "@" + stream.snapshot));
    const std::string advice = " (if another snapshot has its files' bytes, say --from VOLUME@SNAPSHOT)";
    const auto record = on.volume(named.name);
    if (!record && record.error().code == errc::not_found) return error(errc::not_found, "volume " + named.name + ", of which the stream is" + advice);
    if (!record) return record.error();
    TRY(const auto all, on.snapshots(named.name));
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.name == named.snapshot; });
    if (found == all.end()) return error(errc::not_found, "snapshot " + full_name(named) + ", of which the stream is" + advice);
    if (record->id != stream.id || found->at != stream.at) return error(errc::conflict, "the stream is of another snapshot than " + full_name(named) + " is now" + advice);
    return named;
}

result<void> refuse_existing(client::runtime& on, const std::string& name) {
    const auto there = on.volume(name);
    if (there) return error(errc::exists, "volume " + name);
    return there.error().code == errc::not_found ? result<void>() : result<void>(there.error());
}

// A volume on its way: it goes unless it is finished.
class unfinished_volume {
public:
    static result<std::unique_ptr<unfinished_volume>> make(client::runtime& on, const volume::target& base) {
        bytes unique(4);
        on.world().random().fill(unique);
        auto out = std::make_unique<unfinished_volume>(on, "cess-import-" + to_hex(unique));
        TRY(const auto made, on.clone(base, out->m_name));
        out->m_made = true;
        out->m_size = made.size;
        return out;
    }
    unfinished_volume(client::runtime& on, std::string name) : m_on(on), m_name(std::move(name)) {}
    ~unfinished_volume() {
        if (!m_made) return;
        if (const auto gone = m_on.delete_volume(m_name); !gone) log::error("import", "volume {} stays, delete it: {}", m_name, gone.error().message());
    }
    unfinished_volume(const unfinished_volume&) = delete;
    unfinished_volume& operator=(const unfinished_volume&) = delete;

    // The volume's limit comes last: what is moved is named twice for a while.
    result<fs::import_report> fill(const fs::stream_source& from, const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
        if (m_size > 0) CHECK_OK(m_on.resize_volume(m_name, 0, false));
        TRY(auto attached, m_on.attach({m_name, {}}, {.expected = ledger::volume_type::filesystem}));
        auto done = fs::import_metadata(*attached->head(), from, progress);
        const auto left = attached->detach();
        if (!done) return done;
        if (!left) return left.error();
        if (m_size == 0) return done;
        if (done->bytes > m_size) return error(errc::no_space, "the volume holds no more than " + format_size(m_size) + " and the files have " + format_size(done->bytes));
        CHECK_OK(m_on.resize_volume(m_name, m_size, false));
        return done;
    }
    result<void> finish(const std::string& name) {
        CHECK_OK(m_on.rename_volume(m_name, name));
        m_made = false;
        return {};
    }

private:
    client::runtime& m_on;
    const std::string m_name;
    std::uint64_t m_size = 0;
    bool m_made = false;
};

result<int> import_volume(context& c, const arguments& a) {
    TRY(const auto name, volume_name(a.name));
    if (::isatty(STDIN_FILENO) == 1) return error(errc::invalid, "the stream is read from standard input, which is a terminal; give a file or a pipe");
    TRY(auto runtime, c.connect());
    CHECK_OK(refuse_existing(*runtime, name));
    TRY(const auto input, kept_input::take(runtime->configuration().directory));
    const fs::stream_source read = [&input](std::uint64_t offset, byte_span out) { return input->read(offset, out); };
    const auto stream = fs::check_stream(read);
    if (!stream) return of_stream(stream.error());
    TRY(const auto base, base_of(*runtime, *stream, a.from));
    TRY(const auto made, unfinished_volume::make(*runtime, base));
    fs::import_report done;
    {
        progress_line line("import");
        auto filled = made->fill(read, [&line](std::uint64_t at, std::uint64_t total) { line.show(at, total); });
        if (!filled) return error(of_stream(filled.error()).code, "import from " + full_name(base) + ": " + filled.error().what);
        done = *filled;
    }
    CHECK_OK(made->finish(name));
    if (c.json) {
        nlohmann::json out;
        out["volume"] = name;
        out["base"] = full_name(base);
        out["inodes"] = done.inodes;
        out["entries"] = done.entries;
        out["quotas"] = done.quotas;
        out["bytes"] = done.bytes;
        out["moved"] = done.moved;
        print_json(out);
    } else {
        print("volume " + name + ": " + std::to_string(done.inodes) + " inodes, " + std::to_string(done.entries) + " entries, " + format_size(done.bytes) +
              " of data shared with " + full_name(base));
    }
    return 0;
}

}  // namespace

void add_import_command(CLI::App& app, context& c) {
    const auto a = std::make_shared<arguments>();
    auto* command = add_command(app, c, "import", "Make a filesystem again from what `cess export` wrote, read from standard input", true);
    command->add_option("volume", a->name, "Name of the new volume")->required()->option_text("VOLUME");
    command->add_option("--from", a->from, "The snapshot that has the files' bytes; default: the one that was exported")->option_text("VOLUME@SNAPSHOT");
    command->callback([&c, a] { c.action = [&c, a] { return import_volume(c, *a); }; });
}

}  // namespace cess::cli
